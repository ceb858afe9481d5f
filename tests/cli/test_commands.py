"""list, validate, validate-config, schema and help."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.main import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(invoke, name):
    assert invoke(name, "--help").startswith("Usage:")
    assert COMMANDS[name].split(";")[0].split(":")[0].split(",")[0][:15] in invoke("--help")


def test_version(bench):
    assert "bench" in bench("--version").stdout


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("backends", ["cpu", "torch", "ascend", "not available"]),
        ("devices", ["cpu"]),
        ("implementations", ["moe_layer", "loop"]),
        ("kernels", ["matmul", "moe_layer", "memory"]),
        ("configs", ["smoke", "moe-deepseek-v3"]),
        ("chips", ["h100", "ascend-910b2"]),
        ("models", ["deepseek-v3", "671 B", "deepseek-1.2t-rumored", "(rumored;"]),
    ],
)
def test_list(invoke, what, expected):
    output = invoke("list", what)
    for text in expected:
        assert text in output
    assert "Traceback" not in output


def test_a_list_for_other_programs(invoke):
    items = json.loads(invoke("list", "models", "--format", "json"))
    (model,) = (item for item in items if item["model"] == "deepseek-v3")
    assert model["total_params_b"] == 671
    records = csv.DictReader(io.StringIO(invoke("list", "models", "--format", "csv"), newline=""))
    assert [record["model"] for record in records] == [item["model"] for item in items]
    assert "| deepseek-v3 | DeepSeek-V3" in invoke("list", "models", "--format", "markdown")
    assert "512 + 256 zero, top-12" in invoke("list", "models")


def test_list_of_backends_that_are_broken(plugged):
    """A backend that ends its process does not hide the others."""
    output = plugged("list", "backends").stdout
    for text in ("cpu", "numpy", "broken", "not available", "AttributeError", "exit code 9"):
        assert text in output
    assert "Traceback" not in output


def test_list_of_nothing_known(invoke):
    assert "backends" in invoke("list", "nonsense", status=2)


def test_schemas_are_json(invoke):
    for what in ("config", "results"):
        assert json.loads(invoke("schema", what))["$schema"]


def test_validate_config(invoke):
    output = invoke("validate-config", "smoke")
    assert "nothing wrong" in output
    assert "note:" not in output
    Path("c.yaml").write_text("kernels:\n  - kernel: matmul\n    m: 0\n    q: 1\n")
    message = invoke("validate-config", "c.yaml", status=2)
    assert "c.yaml:4: kernels[0].q: unknown key" in message


def test_validate_names_row_and_column(invoke):
    Path("x.csv").write_text("a,b\n1,2\n")
    assert "not the columns of a result file" in invoke("validate", "x.csv", status=2)
    assert "no such file" in invoke("validate", "nothing.csv", status=2)


def test_nothing_heavy_is_imported_for_help():
    """Importing torch takes a second, pandas a quarter of one; help needs neither."""
    code = (
        "import sys; sys.argv = ['bench', '--help']\n"
        "from bench.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'numpy', 'pydantic', 'rich', 'pyperf'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_run_never_imports_torch_or_pandas_in_the_harness():
    code = (
        "import sys, bench.cli.run, bench.measure.run, bench.config.load, bench.cli.run_table\n"
        "from bench.config.load import load_config; load_config('smoke')\n"
        "heavy = {'torch', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_output_can_be_cut_off_by_a_pipe(bench):
    command = f"{sys.executable} -m bench list models | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_80_columns(invoke, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    text = invoke(name, "--help")
    prose = [line for line in text.splitlines() if not line.startswith("  bench ")]
    assert max(map(len, prose)) <= 80
    assert "\\b" not in text
    assert "\b" not in text
