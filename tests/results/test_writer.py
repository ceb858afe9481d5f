"""Writing: what was appended is on disk and stays there, whatever happens next."""

import contextlib
import os
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.results.columns import NAMES
from bench.results.reader import read_rows, rows_of, scan
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
