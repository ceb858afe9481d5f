"""Resuming: what is whole stays byte for byte, and only the same run goes on."""

from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.results import writer
from bench.results.columns import NAMES
from bench.results.reader import read_rows
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
