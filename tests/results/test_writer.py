"""The writer: no finished row is ever lost, no half row stays, no second run gets in."""

import os

import pytest

from bench.errors import BenchError, UsageError
from bench.results.reader import read_rows
from bench.results.writer import LINE_END, ResultFile, check_same_run
from tests.results.rows import ROW


def row(number, **more):
    return {**ROW, "case_id": f"matmul-f32-{number}", **more}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "folder" / "r.csv"


def written(path, *rows):
    with ResultFile.create(path, force=True) as file:
        for one in rows:
            file.append(one)
    return path.read_bytes()


def test_each_row_is_in_the_file_at_once(path):
    with ResultFile.create(path) as file:
        for number in range(3):
            file.append(row(number))
            assert len(read_rows(path)) == number + 1


def test_it_is_rfc_4180(path):
    content = written(path, row(1, error='a "quoted", text'))
    assert content.endswith(LINE_END.encode())
    assert b'"a ""quoted"", text"' in content


def test_an_existing_file_needs_a_word(path):
    before = written(path, row(1))
    with pytest.raises(UsageError, match=r"--resume.*--force.*-o"):
        ResultFile.create(path)
    assert path.read_bytes() == before
    with ResultFile.create(path, force=True):
        pass
    assert read_rows(path) == []


def test_resume_repairs_a_file_cut_at_any_byte(path):
    """Whatever a power cut leaves, every whole row is kept as it was, and a new one fits behind."""
    content = written(path, row(1), row(2, error='ümläut, "quoted"'))
    ends = [i + 1 for i, byte in enumerate(content) if byte == 10]
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        with ResultFile.resume(path) as file:
            whole = sum(end <= cut for end in ends) - 1
            assert len(file.rows) == max(whole, 0)
            assert bool(file.notes) == (cut not in ends)
            file.append(row(3))
        kept = content[: ends[max(whole, 0)]]
        assert path.read_bytes().startswith(kept)
        assert len(read_rows(path)) == max(whole, 0) + 1


def test_resume_drops_interrupted_rows_at_the_end_only(path):
    stopped = {**row(2), "status": "interrupted", "error": "stopped", "verified": None}
    written(path, row(1), {**stopped, "case_id": "matmul-f32-0"}, row(3), stopped, stopped)
    with ResultFile.resume(path) as file:
        assert [one["status"] for one in file.rows] == ["ok", "interrupted", "ok"]


def test_resume_of_what_is_no_result_file(path):
    path.parent.mkdir(parents=True)
    for content, message in {
        b"name,price\r\nx,1\r\n": "not the columns of a result file",
        b"\x89PNG\r\n\x1a\n": "not UTF-8",
        b"hello": "not a result file",
    }.items():
        path.write_bytes(content)
        with pytest.raises(UsageError, match=message):
            ResultFile.resume(path)
        assert path.read_bytes() == content, "left as it was"


def test_resume_of_another_version(path):
    content = written(path, row(1)).replace(b"\n1,", b"\n99,")
    path.write_bytes(content)
    with pytest.raises(UsageError, match="schema_version: 99"):
        ResultFile.resume(path)
    assert path.read_bytes() == content


def test_resume_of_nothing(path):
    with pytest.raises(UsageError, match="does not exist"):
        ResultFile.resume(path)


def test_a_second_run_is_refused(path):
    with ResultFile.create(path) as first:
        first.append(row(1))
        for again in (lambda: ResultFile.resume(path), lambda: ResultFile.create(path, force=True)):
            with pytest.raises(UsageError, match="another run is writing this file"):
                again()
        assert len(read_rows(path)) == 1
    ResultFile.resume(path).close()


def test_a_failed_write_leaves_whole_rows(path, monkeypatch):
    with ResultFile.create(path) as file:
        file.append(row(1))
        real = os.pwrite

        def half(descriptor, data, offset):
            if len(data) < 20:
                raise OSError(28, "No space left on device")
            return real(descriptor, data[: len(data) // 2], offset)

        monkeypatch.setattr(os, "pwrite", half)
        with pytest.raises(BenchError, match=r"No space left.*1 row before this one.*--resume"):
            file.append(row(2))
        monkeypatch.setattr(os, "pwrite", real)
        file.append(row(3))
    assert [one["case_id"][-1] for one in read_rows(path)] == ["1", "3"]


@pytest.mark.parametrize("place", ["/proc/nothing/r.csv", "/dev/null/r.csv"])
def test_a_folder_that_cannot_be_made(place, tmp_path):
    from pathlib import Path

    with pytest.raises(UsageError, match="-o"):
        ResultFile.create(Path(place))


def test_a_folder_in_the_files_place(tmp_path):
    with pytest.raises(UsageError):
        ResultFile.create(tmp_path, force=True)


def test_rows_of_another_run_are_named():
    check_same_run([ROW], {"seed": 0, "backend": "cpu"})
    with pytest.raises(UsageError) as error:
        check_same_run([ROW, ROW], {"seed": 1, "backend": "cuda", "host": "node1"})
    lines = str(error.value).splitlines()
    assert "seed is 1 now, but 0 in the file" in lines[0]
    assert "backend is cuda now, but cpu in the file" in lines[1]
    assert len(lines) == 3
