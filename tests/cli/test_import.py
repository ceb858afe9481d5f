"""`bench import` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.results.validate import validate

DATA = Path(__file__).parents[1] / "data" / "importers"


@pytest.mark.parametrize(
    ("form", "file"),
    [
        ("nvbench", "nvbench.json"),
        ("nvbench", "nvbench.csv"),
        ("xpu-perf", "xpu-perf.jsonl"),
        ("aiconfigurator", "aiconfigurator.csv"),
        ("aiconfigurator", "aiconfigurator-moe.csv"),
    ],
)
def test_the_file_is_sound(invoke, form, file):
    invoke("import", form, DATA / file, "-o", "out.csv")
    assert validate(invoke.folder / "out.csv").problems == []


def test_what_is_left_out_is_said(invoke):
    output = invoke("import", "xpu-perf", DATA / "xpu-perf.jsonl", "-o", "out.csv")
    assert "xpu-perf.jsonl: 1 left out: operator all_reduce" in output
    assert "out.csv: 2 rows" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nvbench", "none.json"), "none.json: no such file"),
        (("hccl-test", DATA / "nvbench.csv"), "hccl-test measures collectives"),
        (("xpu-perf", "collectives.jsonl"), "no measurement that a kernel of bench describes"),
        (("nvbench", DATA / "nvbench.json", "--chip", "h100"), "unknown chip 'h100'"),
        (("nvbenhc", DATA / "nvbench.json"), "'nvbenhc' is not one of"),
    ],
)
def test_mistakes_write_nothing(invoke, arguments, message):
    lines = (DATA / "xpu-perf.jsonl").read_text().splitlines(keepends=True)
    (invoke.folder / "collectives.jsonl").write_text(lines[-1])
    assert message in invoke("import", *arguments, "-o", "out.csv", status=2)
    assert not (invoke.folder / "out.csv").exists()


def test_an_existing_file_is_kept(invoke):
    (invoke.folder / "out.csv").write_text("mine")
    assert "exists" in invoke("import", "nvbench", DATA / "nvbench.csv", "-o", "out.csv", status=2)
    assert (invoke.folder / "out.csv").read_text() == "mine"
