"""`report`: what it writes, and that it writes nothing if something is wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bench
from bench.errors import UsageError
from bench.reporting.report import report
from tests.reporting.conftest import BASE, CASES, Chip, failed, write


@pytest.fixture
def one(tmp_path):
    """A result file of two cases."""
    return write(tmp_path, BASE, cases=[CASES[0], CASES[-1]])


def test_one_file_for_the_page(files, tmp_path):
    target = tmp_path / "deep" / "page.html"
    assert bench.report(files, target) == [target]
    text = target.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "<h1>chip-a and chip-b</h1>" in text
    assert [path.name for path in target.parent.iterdir()] == ["page.html"]


def test_a_picture_a_chart(one, tmp_path):
    written = report(one, png=tmp_path / "png", svg=tmp_path / "svg")
    assert {path.parent.name for path in written} == {"png", "svg"}
    names = {path.stem for path in written}
    expected = "roofline-bfloat16 matmul-bfloat16 moe-tiny-moe-bf16-prefill stages energy samples"
    assert {*expected.split(), "utilization-peak", "utilization-ceiling"} == names
    for path in written:
        start = path.read_bytes()[:8]
        assert start == b"\x89PNG\r\n\x1a\n" if path.suffix == ".png" else start[:4] == b"<svg"
    drawn = (tmp_path / "svg" / "energy.svg").read_text()
    assert ">chip-a</text>" not in drawn, "one chip needs no legend"
    assert ">moe_layer bf16 prefill</text>" in drawn


def test_another_base_and_title(files, tmp_path):
    report(files, tmp_path / "a.html", base="chip-b", title="A < B")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "in units of chip-b" in text
    assert "<h1>A &lt; B</h1>" in text


def test_an_unknown_base(files, tmp_path):
    with pytest.raises(UsageError, match=r"no device 'chip-x'.*did you mean 'chip-.*known: chip-a"):
        report(files, tmp_path / "a.html", base="chip-x")


def test_what_exists_stays_unless_forced(one, tmp_path):
    target = tmp_path / "a.html"
    target.write_text("mine")
    with pytest.raises(UsageError, match="exists: --force replaces it"):
        report(one, target, svg=tmp_path / "svg")
    assert target.read_text() == "mine"
    assert not (tmp_path / "svg").exists()
    report(one, target, force=True)
    assert target.read_text(encoding="utf-8") != "mine"


def test_where_it_cannot_write_nothing_is_written(one, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        report(one, tmp_path / "a.html", svg=tmp_path / "file" / "svg")
    assert not (tmp_path / "a.html").exists()
    assert not list(tmp_path.glob("*.part"))


def test_simulated_rows_are_refused_or_marked(tmp_path):
    path = write(tmp_path, Chip("chip-s", simulated=True), cases=CASES[:1])
    with pytest.raises(UsageError, match="1 of 1 rows are simulated, and no measurements"):
        report(path, tmp_path / "a.html")
    report(path, tmp_path / "a.html", svg=tmp_path, simulated=True)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "SIMULATED" in text.split("</title>")[0]
    assert 'role="alert"' in text
    assert "SIMULATED" in (tmp_path / "utilization-peak.svg").read_text()


def test_a_simulated_base_is_found_by_its_own_name(files, tmp_path):
    path = write(tmp_path, Chip("chip-s", simulated=True), cases=CASES[:1])
    report([path, *files], tmp_path / "a.html", base="chip-s", simulated=True)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "in units of SIMULATED chip-s" in text


def test_files_without_a_measurement(tmp_path):
    path = write(tmp_path, BASE, failed(BASE, CASES[0], "cannot"), cases=[])
    with pytest.raises(UsageError, match=r"no row with status ok.*found: 1 unsupported"):
        report(path, tmp_path / "a.html")


def test_claims_are_judged_by_these_and_published_results(one, tmp_path):
    report(one, tmp_path / "a.html", claims="2025-05-podcast")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    section = text.split('<section id="claims">')[1].split("</section>")[0]
    for verdict in ("supported", "refuted", "untestable"):
        assert f'data-verdict="{verdict}"' in section
    assert "to measure it: bench run" in section


@pytest.mark.parametrize("code", ["import bench.cli.main", "import bench.cli.report"])
def test_who_wants_no_report_does_not_wait_for_it(code):
    heavy = "{'altair', 'vl_convert', 'pandas', 'jinja2', 'torch'}"
    program = f"import sys; {code}; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1)
    assert done.stderr.strip() == ""
