"""Writing: what was appended is on disk and stays there, whatever happens next."""

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
from bench.results import writer
from bench.results.columns import NAMES
from bench.results.reader import read_rows, rows_of, scan
from bench.results.writer import ResultFile, check_same_run, record

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


def test_golden_file(path, ok, failed):
    write(
        path,
        ok(host="=cmd()", warnings="became 7 % slower while it was measured; 'quoted'\nline"),
        failed("timeout", 65, peak_source="µ, ‖x‖"),
        ok(66, rel_error=0.1 + 0.2, tolerance=1, driver="", power_w=12.0),
    )
    assert path.read_bytes() == GOLDEN.read_bytes()


def test_the_file_as_an_editor_sees_it(path, ok):
    content = write(path, ok(error="two\nlines\r\nand\u2028more"), ok(65))
    assert content.startswith(b"schema_version,run_id,case_id,")
    assert content.count(b"\n") == content.count(b"\r\n") == 3
    assert b"two lines and more" in content
    assert b"None" not in content
    assert b"nan" not in content


def test_a_row_is_on_disk_when_append_returns(path, ok, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    with ResultFile.create(path) as file:
        file.append(ok())
        assert synced[-1] == path.stat().st_size
        assert read_rows(path) == file.rows
        assert [row["m"] for row in file.rows] == [64]


def test_a_value_that_does_not_fit_costs_its_cell_and_not_the_row(path, ok):
    write(path, ok(power_w=-1, threads="two", m=2.5, roofline_bound="luck", warnings="loud"))
    with path.open("rb") as stream:
        (row,) = rows_of(scan(stream, "r.csv", pytest.fail), "r.csv")
    assert row["power_w"] is row["threads"] is row["m"] is row["roofline_bound"] is None
    assert row["warnings"] == (
        "loud; threads left out: expected an integer of at least 1, found 'two'; "
        "m left out: expected an integer of at least 1, found 2.5; "
        "roofline_bound left out: expected one of compute, memory, launch, found 'luck'; "
        "power_w left out: expected a finite number of at least 0, found -1"
    )


def test_a_name_that_is_no_column_is_a_fault_of_the_program(path, ok):
    with ResultFile.create(path) as file, pytest.raises(KeyError, match="speed"):
        file.append(ok(speed=1))
    assert path.read_bytes() == HEADER


def test_folders_are_made(tmp_path, ok):
    write(tmp_path / "a" / "b" / "r.csv", ok())


def test_an_existing_file_is_refused_by_name_of_the_options(path, ok):
    before = write(path, ok())
    with pytest.raises(UsageError, match=r"r\.csv exists: --resume .* --force "):
        ResultFile.create(path)
    assert path.read_bytes() == before


def test_force_replaces_with_the_first_row_and_not_before(path, ok):
    before = write(path, ok(), ok(65), ok(66))
    with ResultFile.create(path, force=True) as file:
        assert file.rows == []
        assert path.read_bytes() == before
        file.append(ok(67))
        file.append(ok(68))
    assert [row["m"] for row in read_rows(path)] == [67, 68]
    with ResultFile.create(path, force=True):
        pass
    assert len(read_rows(path)) == 2


@pytest.mark.parametrize("content", [b"", HEADER[:20], HEADER, b"\xef\xbb\xbf" + HEADER])
def test_force_replaces_what_holds_no_row(path, ok, content):
    path.write_bytes(content)
    with ResultFile.create(path, force=True) as file:
        file.append(ok())
    assert len(read_rows(path)) == 1


@pytest.mark.parametrize("content", [b"# My notes\n", b"a,b\r\n1,2\r\n", b"\0" * 100])
def test_force_spares_what_is_no_result_file(path, content):
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a result file: --force does not replace it"):
        ResultFile.create(path, force=True)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("/proc/nowhere/r.csv", "cannot make the folder /proc/nowhere"),
        ("/proc/r.csv", "/proc/r.csv: No such file"),
        ("FILE/r.csv", "cannot make the folder"),
        ("FILE/a/r.csv", "cannot make the folder"),
        ("FOLDER", "is a folder"),
        ("n" * 300, "File name too long"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_place_that_cannot_be_written_is_named(tmp_path, where, message, force):
    (tmp_path / "FILE").write_text("")
    (tmp_path / "FOLDER").mkdir()
    with pytest.raises(UsageError, match=message):
        ResultFile.create(tmp_path / where, force=force)


@contextlib.contextmanager
def unprivileged():
    """Be nobody for a while, because root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("where", ["r.csv", "new/r.csv"])
def test_a_folder_without_permission(tmp_path, where):
    tmp_path.chmod(0o500)
    with unprivileged(), pytest.raises(UsageError, match="Permission denied"):
        ResultFile.create(tmp_path / where)
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_permission(path, ok):
    write(path, ok())
    path.chmod(0o400)
    with unprivileged():
        for attempt in (ResultFile.resume, lambda path: ResultFile.create(path, force=True)):
            with pytest.raises(UsageError):
                attempt(path)
    assert len(read_rows(path)) == 1


def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UsageError, match="not a regular file"):
            ResultFile.create(path, force=True)
        with pytest.raises(UsageError, match="not a regular file"):
            ResultFile.resume(path)


def test_resume_goes_on_and_leaves_all_else_as_it_is(path, ok, failed):
    before = write(path, ok(), failed("timeout", 65))
    with ResultFile.resume(path) as file:
        assert file.notes == []
        assert [row["m"] for row in file.rows] == [64, 65]
        assert path.read_bytes() == before
        file.append(ok(66))
    assert path.read_bytes().startswith(before)
    assert [row["m"] for row in read_rows(path)] == [64, 65, 66]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_resume_keeps_a_files_own_line_ends(path, ok, mark):
    before = mark + write(path, ok()).replace(b"\r\n", b"\n")
    path.write_bytes(before)
    with ResultFile.resume(path) as file:
        file.append(ok(65))
    assert path.read_bytes().startswith(before)
    assert b"\r" not in path.read_bytes()
    assert len(read_rows(path)) == 2


def test_cut_off_at_every_byte_all_whole_rows_survive(path, ok, failed):
    last = ok(67, host="zuletzt, mit „Umlaut“ ü")
    content = write(path, ok(), failed("crashed", 65, error='said "x",\nthen nothing'), last)
    ends = [at + 1 for at, byte in enumerate(content) if byte == ord("\n")]
    new = record(writer.format_row(ok(99)))
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        whole = max((end for end in ends if end <= cut), default=0)
        with ResultFile.resume(path) as file:
            assert len(file.rows) == max(0, content[:whole].count(b"\n") - 1)
            assert bool(file.notes) == (cut not in (0, *ends))
            if whole:
                assert path.read_bytes() == content[:whole]
            file.append(ok(99))
        assert path.read_bytes() == (content[:whole] or HEADER) + new


def test_interrupted_rows_at_the_end_run_again(path, ok, failed):
    kept = write(path, ok(), failed("interrupted", 65), ok(66))
    with ResultFile.resume(path) as file:
        file.append(failed("interrupted", 67))
        file.append(failed("interrupted", 68))
    before = path.read_bytes()
    with ResultFile.resume(path) as file:
        assert [row["m"] for row in file.rows] == [64, 65, 66]
        assert "2 rows again" in file.notes[0]
        assert path.read_bytes() == before, "a resume that is refused after all changes nothing"
        file.append(ok(67))
    assert path.read_bytes() == kept + record(writer.format_row(ok(67)))


def test_only_interrupted_rows(path, ok, failed):
    write(path, failed("interrupted"))
    with ResultFile.resume(path) as file:
        assert file.rows == []
        file.append(ok())
    assert [row["status"] for row in read_rows(path)] == ["ok"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: b"m,n,k\r\n1,2,3\r\n", "not a result file"),
        (lambda text: b"no newline", "not a result file"),
        (lambda text: b"schema_version,x", "not the columns of a result file"),
        (lambda text: text.replace(b"schema_version,run_id", b"run_id,schema_version"), "not a re"),
        (lambda text: text.replace(b"chip,device_name", b"device_name,chip"), "another order"),
        (lambda text: text.replace(b",evidence\r\n", b",evidence,note\r\n"), "cells, but the hea"),
        (lambda text: text.replace(b"\r\n", b",mine\r\n"), "more columns"),
        (lambda text: text.replace(b"\r\n1,", b"\r\n2,"), "schema version 2"),
        (lambda text: text.replace(b"\r\n1,", b"\r\n\r\n1,"), "blank lines"),
        (lambda text: text.replace(b"node-1", b'"node\r\n1"'), "line breaks within cells"),
        (
            lambda text: text.replace(b",bfloat16,", b",bfloat16,,"),
            f"line 2: {len(NAMES) + 1} cells, but the header has {len(NAMES)}",
        ),
        (lambda text: text.replace(b",2.5e-05,", b",fast,"), "line 2: time_median_s: expected"),
        (lambda text: text.replace(b"node-1", b"node-\xff"), "line 2 is not UTF-8"),
    ],
)
def test_resume_refuses_what_it_cannot_go_on_with(path, ok, change, message):
    content = change(write(path, ok(), ok(65)))
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        ResultFile.resume(path)
    assert path.read_bytes() == content
    ResultFile.create(path.with_name("other.csv")).close()


def test_resume_without_a_file(path):
    with pytest.raises(UsageError, match="does not exist"):
        ResultFile.resume(path)
    assert not path.exists()


def test_another_run_is_told_apart(ok):
    rows = [ok(), ok(65)]
    same = {"config_sha256": "c" * 64, "seed": 0, "backend": "cpu", "threads": 2, "driver": None}
    check_same_run(rows, same)
    check_same_run([], {"seed": 7})
    other = {**same, "config_sha256": "d" * 64, "seed": 1, "driver": "535.1"}
    with pytest.raises(UsageError) as caught:
        check_same_run(rows, other)
    assert str(caught.value).splitlines()[1:] == [
        "the file has config_sha256 cccccccccccc…, this run dddddddddddd…",
        "the file has seed 0, this run 1",
        "the file has driver unknown, this run 535.1",
    ]


def test_devices_of_one_run_may_differ(ok):
    rows = [ok(chip="H100"), ok(65, chip="H200", device_index=1)]
    check_same_run(rows, {"chip": "H100"})
    check_same_run(rows, {"chip": "H200"})
    with pytest.raises(UsageError, match="the file has chip H100 and H200, this run A100"):
        check_same_run(rows, {"chip": "A100"})


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
