"""list, validate, validate-config, schema and help."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from bench.cli.main import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(bench, name):
    done = bench(name, "--help")
    assert done.stdout.startswith("Usage:")
    assert COMMANDS[name].split(";")[0].split(":")[0].split(",")[0][:15] in bench("--help").stdout


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
def test_list(bench, what, expected):
    output = bench("list", what).stdout
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


def test_list_of_backends_that_are_broken(plugged):
    """A backend that ends its process does not hide the others."""
    output = plugged("list", "backends").stdout
    for text in ("cpu", "numpy", "broken", "not available", "AttributeError", "exit code 9"):
        assert text in output
    assert "Traceback" not in output


def test_list_of_nothing_known(bench):
    assert "backends" in bench("list", "nonsense", status=2).stderr


def test_schemas_are_json(bench):
    for what in ("config", "results"):
        assert json.loads(bench("schema", what).stdout)["$schema"]


def test_validate_config(bench):
    assert "nothing wrong" in bench("validate-config", "smoke").stdout
    assert "note:" not in bench("validate-config", "smoke").stdout
    bench.write("c.yaml", "kernels:\n  - kernel: matmul\n    m: 0\n    q: 1\n")
    output = bench("validate-config", "c.yaml", status=2).stderr
    assert "c.yaml:4: kernels[0].q: unknown key" in output
    assert "Traceback" not in output


def test_validate_names_row_and_column(bench):
    bench.write("x.csv", "a,b\n1,2\n")
    assert "not the columns of a result file" in bench("validate", "x.csv", status=2).stderr
    assert "no such file" in bench("validate", "nothing.csv", status=2).stderr


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
def test_help_fits_80_columns(bench, name):
    bench.environment["COLUMNS"] = "80"
    text = bench(name, "--help").stdout
    prose = [line for line in text.splitlines() if not line.startswith("  bench ")]
    assert max(map(len, prose)) <= 80
    assert "\\b" not in text
    assert "\b" not in text
