"""The three files of a run: whatever ends it, --resume has every row and sample, or says what is missing."""

from __future__ import annotations

import os

import pyperf
import pytest

from bench.backend import Device
from bench.config.cases import Case
from bench.errors import BenchError, UsageError
from bench.kernels.matmul import Matmul
from bench.measure.jobs import Job
from bench.measure.protocol import Outcome
from bench.measure.run import Recording, Request
from tests.results.conftest import make_row

COLUMNS = {"seed": 0}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "r.csv"


def job(m=64):
    case = Case(Matmul(m=m, n=32, k=16, dtype="bfloat16"))
    return Job(case, Device(0, "Example CPU", "cpu"), "best")


def request(path, **how):
    jobs = [job(m) for m in (64, 65)]
    return Request(None, None, None, jobs, None, path, **how)


def visit():
    return Outcome("ok", implementation="torch", values_s=[2.4e-5, 2.5e-5, 2.7e-5], loops=1)


def record(recording, m):
    recording.record_visit(job(m), "2026-01-02T03:04:05.678Z", visit())
    recording.record(make_row(m), [visit()])


def killed(function):
    """Run a function in a child that then dies like one that was killed: nothing is closed or cleaned up."""
    child = os.fork()
    if child == 0:
        try:
            function()
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def sample_names(path):
    return pyperf.BenchmarkSuite.load(str(path.with_suffix(".pyperf.json"))).get_benchmark_names()


def test_samples_of_a_killed_run_come_from_its_journal(path):
    def run():
        recording = Recording(request(path), COLUMNS)
        record(
            recording, 64
        )  # its samples are written at once, those of the next not so soon after
        record(recording, 65)

    killed(run)
    assert len(sample_names(path)) == 1
    path.with_suffix(".pyperf.part").write_text('{"bench')
    with Recording(request(path, resume=True), COLUMNS) as recording:
        assert recording.file.notes == []
    assert len(sample_names(path)) == 2
    assert sorted(file.name for file in path.parent.iterdir()) == ["r.csv", "r.pyperf.json"]


def test_missing_samples_are_named(path):
    with Recording(request(path), COLUMNS) as recording:
        record(recording, 64)
        record(recording, 65)
    path.with_suffix(".pyperf.json").unlink()
    with Recording(request(path, resume=True), COLUMNS) as recording:
        assert recording.file.notes == [
            f"{path.with_suffix('.pyperf.json')}: the samples behind 2 rows are missing; the rows themselves "
            "are complete"
        ]


def test_the_journal_stays_where_samples_cannot_be_written(path):
    """A folder in the place of the half-written file is an error of the real file system."""
    message = r"r\.pyperf\.json: cannot write: .* go on with --resume"
    with pytest.raises(BenchError, match=message), Recording(request(path), COLUMNS) as recording:
        path.with_suffix(".pyperf.part").mkdir()
        record(recording, 64)
    path.with_suffix(".pyperf.part").rmdir()
    assert path.with_suffix(".journal.jsonl").exists()
    with Recording(request(path, resume=True), COLUMNS):
        pass
    assert len(sample_names(path)) == 1


@pytest.mark.parametrize("suffix", [".pyperf.json", ".journal.jsonl"])
@pytest.mark.parametrize("force", [False, True])
def test_a_foreign_file_beside_it_stays_and_nothing_is_written(path, suffix, force):
    foreign = path.with_suffix(suffix)
    foreign.write_text("my notes")
    with pytest.raises(UsageError, match="move it"):
        Recording(request(path, force=force), COLUMNS)
    assert foreign.read_text() == "my notes"
    assert not path.exists()


def test_a_damaged_file_of_samples_is_refused_and_the_rows_stay(path):
    with Recording(request(path), COLUMNS) as recording:
        record(recording, 64)
    rows = path.read_bytes()
    path.with_suffix(".pyperf.json").write_text('{"benchmarks":')
    for how in ({"resume": True}, {"force": True}):
        with pytest.raises(UsageError, match=r"r\.pyperf\.json: not a file of samples"):
            Recording(request(path, **how), COLUMNS)
        assert path.read_bytes() == rows


@pytest.mark.parametrize(
    "line", ["{}", '{"job": 1, "outcome": {}}', '{"outcome": {"status": "ok"}}']
)
def test_a_damaged_journal_is_a_sentence(path, line):
    killed(lambda: record(Recording(request(path), COLUMNS), 64))
    journal = path.with_suffix(".journal.jsonl")
    journal.write_text(f"{journal.read_text()}{line}\n")
    with pytest.raises(UsageError, match=r"journal\.jsonl: line 3 is not a visit"):
        Recording(request(path, resume=True), COLUMNS)
