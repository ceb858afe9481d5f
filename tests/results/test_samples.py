"""The samples beside a result file: replaced whole, and foreign files left alone."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pyperf
import pytest

from bench.errors import UsageError
from bench.results.journal import Journal
from bench.results.samples import SamplesFile, read_benchmarks, read_samples, samples_path

DAMAGED = {
    "empty": "",
    "cut off": '{"benchmarks":[{"runs":[{"val',
    "a list": "[]",
    "null": "null",
    "another object": '{"my": "notes"}',
    "deep": "[" * 100_000,
    "deep within": '{"benchmarks":' + "[" * 900 + "]" * 900 + ',"version":"1.0"}',
    "a huge number": '{"version":"1.0","benchmarks":' + "9" * 5000 + "}",
    "not UTF-8": b"\xff\xfe",
    "an infinite time": '{"version":"1.0","metadata":{"name":"a"},'
    '"benchmarks":[{"runs":[{"values":[Infinity]}]}]}',
}


def runs(value=1.0, **metadata):
    known = {"name": "a", "case_id": "c-1", "implementation": "torch", **metadata}
    return [pyperf.Run([value, value], metadata=known, collect_metadata=False)]


@pytest.fixture
def path(tmp_path):
    return samples_path(tmp_path / "r.csv")


@pytest.fixture
def earlier(path):
    """A file of samples that a run has written."""
    file = SamplesFile(path, keep=False)
    file.add("a", runs())
    file.write()
    return path


def names(path):
    return [benchmark.get_name() for benchmark in read_benchmarks(path.parent / "r.csv")]


def put(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("how", [{"keep": True}, {"keep": False}, {"keep": False, "force": True}])
def test_what_is_not_ours_is_refused_and_stays(path, name, how):
    put(path, DAMAGED[name])
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"not a file of samples .*; move it away"):
        SamplesFile(path, **how)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", DAMAGED)
def test_a_reader_says_what_is_damaged(path, name):
    put(path, DAMAGED[name])
    with pytest.raises(UsageError, match="not a file of samples") as caught:
        read_samples(path.parent / "r.csv")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("how", [{"keep": True}, {"keep": False, "force": True}])
def test_samples_of_another_program_are_refused(path, how):
    pyperf.BenchmarkSuite(
        [pyperf.Benchmark([pyperf.Run([1.0], metadata={"name": "x"}, collect_metadata=False)])]
    ).dump(str(path))
    with pytest.raises(UsageError, match="not the samples of a bench run"):
        SamplesFile(path, **how)


def test_an_earlier_run_is_replaced_if_asked_and_not_before_the_first_row(earlier):
    with pytest.raises(UsageError, match="exists: --force replaces it"):
        SamplesFile(earlier, keep=False)
    file = SamplesFile(earlier, keep=False, force=True)
    assert names(earlier) == ["a"]
    file.begin()
    assert not earlier.exists()


def test_an_earlier_run_is_continued(earlier):
    file = SamplesFile(earlier, keep=True)
    row = {"case_id": "c-1", "implementation": "torch", "device_index": 0}
    assert file.has(row)
    assert not file.has({**row, "case_id": "c-2"})
    assert not file.has({**row, "implementation": "triton"})
    file.add("b", runs(name="b", case_id="c-2"))
    file.write()
    assert names(earlier) == ["a", "b"]


def test_devices_have_samples_of_their_own(earlier):
    file = SamplesFile(earlier, keep=True)
    file.add("a", runs(device_index=1))
    file.write()
    row = {"case_id": "c-1", "implementation": "torch", "device_index": 0}
    assert not SamplesFile(earlier, keep=True).has(row)
    assert SamplesFile(earlier, keep=True).has({**row, "device_index": 1})


@pytest.mark.parametrize("plant", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("victim")])
def test_neither_link_nor_pipe_nor_folder_takes_the_place_of_samples(path, plant):
    plant(path)
    for how in ({"keep": True}, {"keep": False, "force": True}):
        with pytest.raises(UsageError, match=r"r\.pyperf\.json .*name another result file with -o"):
            SamplesFile(path, **how)
    with pytest.raises(UsageError, match=r"r\.pyperf\.json"):
        read_samples(path.parent / "r.csv")


@pytest.mark.parametrize("when", ["before", "after"], ids=lambda when: f"planted {when} opening")
def test_a_link_in_the_place_of_the_half_written_file_is_not_followed(path, when):
    """The target of a link stays as it is, for samples and journal alike."""
    victim = path.with_name("victim")
    victim.write_text("precious")
    planted = [path.with_suffix(".part"), path.with_name("r.journal.part")]
    if when == "before":
        for link in planted:
            link.symlink_to(victim)
    file = SamplesFile(path, keep=False)
    journal = Journal(path.with_name("r.journal.jsonl"), {}, keep=False)
    if when == "after":
        for link in planted:
            link.symlink_to(victim)
    file.add("a", runs())
    file.write()
    journal.append({"a": 1})
    journal.close(remove=False)
    assert victim.read_text() == "precious"
    assert names(path) == ["a"]
    assert sorted(entry.name for entry in path.parent.iterdir()) == [
        "r.journal.jsonl",
        "r.pyperf.json",
        "victim",
    ]


SMALL_DISK = """
import sys
from pathlib import Path
from tests.results.test_samples import SamplesFile, runs
file = SamplesFile(Path(sys.argv[1]), keep=True)
for number in range(200):
    file.add(str(number), runs(name=str(number), case_id=str(number)))
try:
    file.write()
except OSError as error:
    print(error.strerror)
"""


def limited():
    """Let files grow to 4 KiB: a write beyond fails like one to a full disk, and the signal is ignored."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def test_a_full_disk_leaves_the_samples_of_before(earlier):
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, str(earlier)],
        preexec_fn=limited,
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "File too large\n"
    assert names(earlier) == ["a"]
    assert [entry.name for entry in earlier.parent.iterdir()] == ["r.pyperf.json"]


def test_what_a_killed_run_left_half_written_goes(earlier):
    earlier.with_suffix(".part").write_text('{"bench')
    SamplesFile(earlier, keep=True)
    assert [entry.name for entry in earlier.parent.iterdir()] == ["r.pyperf.json"]


def test_a_name_that_leaves_no_room_for_the_samples_is_refused(tmp_path):
    with pytest.raises(UsageError, match="too long for a file's name"):
        SamplesFile(samples_path(tmp_path / f"{'n' * 250}.csv"), keep=False)
    assert read_samples(tmp_path / f"{'n' * 250}.csv") == {}


def test_pyperf_reads_it(earlier):
    assert json.loads(earlier.read_text())["benchmarks"]
    assert read_samples(earlier.parent / "r.csv") == {("c-1", "torch"): [[1.0, 1.0]]}
