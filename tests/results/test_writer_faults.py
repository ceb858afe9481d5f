"""Two writers, kills, full disks and files that change meanwhile: rows that were reported are there."""

import contextlib
import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.errors import BenchError, UsageError
from bench.results.columns import NAMES
from bench.results.reader import read_rows
from bench.results.writer import ResultFile, record

GOLDEN = Path(__file__).with_name("golden.csv")
HEADER = record(NAMES)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "r.csv"


def write(path, *rows):
    with ResultFile.create(path) as file:
        for row in rows:
            file.append(row)
    return path.read_bytes()


def python(code, *arguments, **more):
    """Start Python with the writer imported and `ok` at hand."""
    begin = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from conftest import make_row as ok; "
        "from bench.results.writer import *\n"
    )
    command = [sys.executable, "-c", begin + code, str(Path(__file__).parent), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def test_two_processes_on_one_file(path, ok):
    first = python(
        "file = ResultFile.create(sys.argv[2]); file.append(ok()); print(1, flush=True); input()",
        path,
        stdin=subprocess.PIPE,
    )
    assert first.stdout.readline() == "1\n"
    before = path.read_bytes()
    for attempt in (
        lambda: ResultFile.resume(path),
        lambda: ResultFile.create(path, force=True),
    ):
        with pytest.raises(UsageError, match="another run") as caught:
            attempt()
        if Path("/proc/locks").exists():
            assert f"(process {first.pid})" in str(caught.value)
    assert path.read_bytes() == before
    first.kill()
    first.communicate()
    with ResultFile.resume(path) as file:
        assert len(file.rows) == 1


def test_the_lock_ends_with_close_and_children_do_not_inherit_it(path, ok):
    file = ResultFile.create(path)
    file.append(ok())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    file.close()
    file.close()
    ResultFile.resume(path).close()
    child.communicate(b"\n")


def test_killed_at_any_moment_what_was_reported_is_there(path, ok):
    code = """
m = int(sys.argv[3])
with (ResultFile.resume if m > 1 else ResultFile.create)(sys.argv[2]) as file:
    while True:
        file.append(ok(m))
        print(m, flush=True)
        m += 1
"""
    following = 1
    for attempt in range(6):
        run = python(code, path, following)
        assert run.stdout.readline().strip() == str(following)
        time.sleep(0.002 * attempt)
        run.send_signal(signal.SIGKILL)
        reported = [following, *map(int, run.stdout.read().split())]
        run.communicate()
        found = [row["m"] for row in read_rows(path)]
        assert found[: reported[-1]] == list(range(1, reported[-1] + 1))
        following = found[-1] + 1


def test_no_locks_on_this_file_system(path, ok, monkeypatch):
    def flock(descriptor, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with ResultFile.create(path) as file:
        assert "cannot be locked" in file.notes[0]
        file.append(ok())


@contextlib.contextmanager
def largest_file(size):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_limit_on_the_size_of_files(path, ok):
    """In a process of its own: every byte where the limit can strike, each taken back."""
    code = """
import contextlib, resource
from pathlib import Path
path = Path(sys.argv[2])
length = len(record(format_row(ok(65))))
file = ResultFile.create(path)
file.append(ok())
whole = path.read_bytes()
for room in (0, 1, length // 2, length - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + room, resource.RLIM_INFINITY))
    try:
        file.append(ok(65))
    except BenchError as error:
        assert type(error) is BenchError and error.exit_code == 1
        assert "File too large; 1 row is safe; go on with --resume" in str(error), error
    else:
        raise AssertionError("written")
    assert path.read_bytes() == whole
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.append(ok(65))
file.close()
assert path.read_bytes().startswith(whole)
print("done")
"""
    out, err = python(code, path).communicate(timeout=60)
    assert out == "done\n", err
    assert [row["m"] for row in read_rows(path)] == [64, 65]


def test_no_room_for_the_first_line_leaves_no_file(path, ok):
    with largest_file(10), pytest.raises(BenchError, match="cannot write: File too large"):
        ResultFile.create(path)
    assert not path.exists()
    write(path, ok())


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 KiB, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no command mount")
    if done.returncode:
        pytest.skip(f"mount is not permitted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(small_disk, ok):
    path = small_disk / "r.csv"
    written = 0
    with ResultFile.create(path) as file:
        with pytest.raises(BenchError, match="No space left on device") as caught:
            for m in range(1, 100):
                file.append(ok(m))
                written = m
        assert f"; {written} rows are safe" in str(caught.value)
    assert written > 3
    assert [row["m"] for row in read_rows(path)] == list(range(1, written + 1))
    subprocess.run(["mount", "-o", "remount,size=64k", small_disk], check=True)
    with ResultFile.resume(path) as file:
        assert len(file.rows) == written
        file.append(ok(written + 1))
    assert len(read_rows(path)) == written + 1


def test_an_input_output_error_takes_the_row_back(path, ok, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with ResultFile.create(path) as file:
        file.append(ok())
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            with pytest.raises(BenchError, match="Input/output error; 1 row is safe"):
                file.append(ok(65))
        assert path.read_bytes() == before
        file.append(ok(66))
    assert [row["m"] for row in read_rows(path)] == [64, 66]


def test_a_file_that_was_removed_or_changed_meanwhile_is_noticed(path, ok):
    with ResultFile.create(path) as file:
        file.append(ok())
        with path.open("a") as other:
            other.write("a note\n")
        with pytest.raises(BenchError, match="was changed by another program"):
            file.append(ok(65))
        path.unlink()
        with pytest.raises(BenchError, match="was removed by another program"):
            file.append(ok(65))
