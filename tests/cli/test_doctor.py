"""`bench doctor` on broken machines: it never crashes, and says what to do."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.backend import Finding
from bench.cli.doctor import examination_document
from bench.doctor.examination import Examination, FindingGroup
from bench.text.exporters import export
from tests.conftest import PIP_INSTALL, PLUGINS

CONFIG = """
measurement: {precision: 0.2, time_budget_s: 0.1}
kernels:
  - {kernel: matmul, dtype: float32, m: 16, n: 8, k: 8}
"""


def findings(bench, *arguments, **how):
    report = json.loads(bench("doctor", "--json", *arguments, **how).stdout)
    sections = {section["name"]: section["findings"] for section in report["sections"]}
    return report["can_measure"], sections


def page(examination: Examination, form: str = "table") -> str:
    stream = io.StringIO()
    export(examination_document(examination), form, stream)
    return stream.getvalue()


def by_topic(section):
    return {finding["topic"]: finding for finding in section}


def test_backends_that_fail_do_not_hide_the_others(plugged):
    able, sections = findings(plugged)
    assert {"cpu", "numpy", "faulty"} <= set(able)
    assert not {"broken", "crashing", "deviceless"} & set(able)
    assert by_topic(sections["backend cpu"])["devices"]["level"] == "ok"
    broken = sections["backend broken"]
    assert [finding["level"] for finding in broken] == ["fail"]
    assert "AttributeError" in broken[0]["text"]
    assert "exit code 9" in sections["backend crashing"][0]["text"]
    deviceless = by_topic(sections["backend deviceless"])
    assert "the driver does not answer" in deviceless["devices"]["text"]
    assert "nothing works" in deviceless["diagnosis"]["text"]
    fan = by_topic(sections["backend faulty"])["fan"]
    assert fan == {
        "level": "warn",
        "topic": "fan",
        "text": "it is loud",
        "mend": "sudo fanctl --quiet",
    }


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_page(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    fan = Finding(
        "warn",
        "fan",
        "it is [bold]loud[/bold], and has been for a long time, say those next door",
        "sudo fanctl --quiet",
    )
    sections = [
        FindingGroup("host", [fan]),
        FindingGroup("backend x", [Finding("ok", "devices", "0: X")]),
    ]
    examination = Examination(sections, can_measure=["x"])
    output = page(examination)
    assert max(map(len, output.splitlines())) <= width
    assert "→ sudo fanctl --quiet" in output
    assert "[bold]loud[/bold]" in output, "texts of drivers are not markup"
    assert output.splitlines()[-1] == "x can measure; 1 warning"
    assert "| warn | fan | it is \\[bold\\]loud" in page(examination, "markdown")
    header, *records = csv.reader(io.StringIO(page(examination, "csv"), newline=""))
    assert header == ["section", "level", "topic", "text", "mend"]
    assert [record[:3] for record in records] == [
        ["host", "warn", "fan"],
        ["backend x", "ok", "devices"],
    ]


def test_the_page_of_a_machine_that_cannot_measure():
    examination = Examination([FindingGroup("backend x", [])])
    assert page(examination).splitlines()[-1] == "no backend can measure here"


@pytest.fixture(scope="module")
def extension(tmp_path_factory) -> Path:
    """A folder into which pip has installed a torch extension without its vendor's libraries."""
    target, source = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("source")
    for file in (PLUGINS / "broken_torch_extension").iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    subprocess.run([*PIP_INSTALL, "--target", target, source], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    environment.pop("TORCH_DEVICE_BACKEND_AUTOLOAD", None)
    done = subprocess.run(
        [sys.executable, "-c", "import torch"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Failed to load the backend extension: torch_brokendevice" in done.stderr
    return target


@pytest.fixture
def broken_torch(bench, extension):
    """A machine where a plain `import torch` fails."""
    bench.environment["PYTHONPATH"] = str(extension)
    bench.environment.pop("TORCH_DEVICE_BACKEND_AUTOLOAD", None)
    return bench


def test_an_extension_without_its_libraries_is_explained(broken_torch):
    able, sections = findings(broken_torch)
    assert "cpu" in able, "and the exit code is 0"
    finding = by_topic(sections["software"])["torch: torch_brokendevice"]
    assert finding["level"] == "warn"
    assert "torch-brokendevice 2.13.0" in finding["text"]
    assert "libascendcl.so: cannot open shared object file" in finding["text"]
    assert "TORCH_DEVICE_BACKEND_AUTOLOAD=0" in finding["mend"]


def test_an_extension_without_its_libraries_disturbs_no_other_backend(broken_torch):
    broken_torch.write("c.yaml", CONFIG)
    broken_torch("run", "c.yaml", "--backend", "cpu", "-o", "r.csv")
    rows = list(csv.DictReader((broken_torch.folder / "r.csv").open(newline="")))
    assert [row["status"] for row in rows] == ["ok"]


def shadow_torch(bench, text: str) -> None:
    """Put a module in front of the real torch."""
    bench.write("torch.py", text)
    bench.environment["PYTHONPATH"] = str(bench.folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("raise ImportError('libtorch.so: cannot open shared object file')", "libtorch.so"),
        ("import os; os.abort()", "ended with -6"),
        ("def", "SyntaxError"),
    ],
)
def test_without_a_torch_nothing_can_measure(bench, text, expected):
    shadow_torch(bench, text)
    able, sections = findings(bench, status=1)
    assert able == []
    torch = by_topic(sections["software"])["torch"]
    assert torch["level"] == "fail"
    assert expected in torch["text"]
    assert torch["mend"]


def test_a_hanging_import_is_abandoned(bench):
    shadow_torch(bench, "import time; time.sleep(600)")
    done = bench("doctor", "--timeout", 1, status=1)
    assert "did not answer within 1 s" in " ".join(done.stdout.split())
    assert "was not done after 1 s" in " ".join(done.stdout.split())


@pytest.mark.parametrize("value", ["0", "nan"])
def test_a_timeout_that_is_no_duration(bench, value):
    assert "--timeout" in bench("doctor", "--timeout", value, status=2).stderr


def test_the_rank_of_a_launcher(bench):
    shadow_torch(bench, "raise ImportError")  # faster
    bench.environment.update(RANK="3", LOCAL_RANK="1", WORLD_SIZE="8")
    _, sections = findings(bench, status=1)
    assert by_topic(sections["host"])["launcher"]["text"] == "torchrun: rank 3 of 8"


def test_a_rank_that_is_not_a_number(bench):
    shadow_torch(bench, "raise ImportError")
    bench.environment.update(RANK="x", LOCAL_RANK="1", WORLD_SIZE="8")
    _, sections = findings(bench, status=1)
    assert "RANK='x'" in by_topic(sections["host"])["launcher"]["text"]
