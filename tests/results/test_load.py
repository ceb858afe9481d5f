"""Frames: the same values as row by row, however they were read, and no bad value let through."""

import math
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.results import load as frames
from bench.results.columns import COLUMNS, NAMES
from bench.results.load import load
from bench.results.reader import read_rows
from bench.results.writer import ResultFile
from tests.results.conftest import write


@pytest.fixture
def file(tmp_path, ok):
    path = tmp_path / "r.csv"
    with ResultFile.create(path) as result:
        for m in range(64, 69):
            result.append(ok(m))
    return path


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_parts_are_joined_row_by_row(file, monkeypatch, chunk, line_end, mark):
    monkeypatch.setattr(frames, "CHUNK", chunk)
    file.write_bytes(mark + file.read_bytes().replace(b"\r\n", line_end))
    frame = load(file)
    assert list(frame["m"]) == [64, 65, 66, 67, 68]
    assert set(frame["time_median_s"]) == {2.5e-5}
    assert list(frame.index) == [0, 1, 2, 3, 4]


def test_a_cut_off_line_is_left_out_with_a_warning(file):
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.warns(UserWarning, match="line 6: cut off before its end; left out"):
        assert list(load(file)["m"]) == [64, 65, 66, 67]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b",2.5e-05,", b",nan,", "line 2: time_median_s: expected a finite number above 0"),
        (b",2.5e-05,", b",-1,", "line 2: time_median_s: expected a finite number above 0"),
        (b",2.5e-05,", b',"0,000025",', "line 2: time_median_s: .*have a decimal point"),
        (b",ok,", b",fine,", "line 2: status: expected one of"),
        (b",cpu,cpu,", b",cpu,", "line 2: .* cells, but the header has"),
        (b",0.0017476266666666667,", b",1.5,", "utilization: expected at most 1.02"),
    ],
)
def test_what_is_wrong_is_named(file, old, new, message):
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        load(file)


def test_a_folder_of_other_csvs(tmp_path, file):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.warns(UserWarning, match="not a result file; left out"):
        assert len(load(tmp_path)) == 5
    file.unlink()
    with pytest.raises(UsageError, match="none of the 1"):
        load(tmp_path)


def test_globs_and_columns(tmp_path, file):
    assert next(iter(load(tmp_path / "*.csv", ["m"]).columns)) == "m"
    with pytest.raises(UsageError, match="did you mean"):
        load(file, ["dtpye"])
    with pytest.raises(UsageError, match="no file matches"):
        load(tmp_path / "no*.csv")


def test_a_text_that_looks_like_a_number_stays_a_text(tmp_path, ok):
    with ResultFile.create(tmp_path / "r.csv") as result:
        result.append(ok(64, host="007", git_commit="1234e56"))
    frame = load(tmp_path / "r.csv")
    assert (frame["host"][0], frame["git_commit"][0]) == ("007", "1234e56")


def test_an_integer_is_written_as_one(file):
    file.write_bytes(file.read_bytes().replace(b",64,32,16,", b",6.4E+01,32,16,"))
    with pytest.raises(UsageError, match="line 2: m: expected an integer"):
        load(file)


@pytest.fixture
def path(tmp_path, ok, failed):
    return write(
        tmp_path / "r.csv",
        ok(flops=2**70, host="=cmd()", warnings="too fast"),
        failed("timeout", 65),
        ok(66, rel_error=0.5, tolerance=1.0),
    )


def edit(path, *changes):
    content = path.read_bytes()
    for old, new in changes:
        assert old in content
        content = content.replace(old, new, 1)
    path.write_bytes(content)


def test_the_columns_have_their_types(path):
    frame = load(path)
    assert list(frame.columns) == [*NAMES, "file"]
    assert set(frame["file"]) == {str(path)}
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert kinds["m"] == "Int64"
    assert kinds["flops"] == kinds["time_median_s"] == "float64"
    assert kinds["verified"] == "boolean"
    assert kinds["status"] == kinds["params"] == kinds["file"] == "category"
    assert kinds["started_at"] == "datetime64[us, UTC]"
    assert frame["flops"][0] == 2.0**70
    assert frame["host"][0] == "=cmd()"
    assert frame["started_at"][0] == pd.Timestamp("2026-01-02T03:04:05.678Z")
    assert math.isnan(frame["time_median_s"][1])


def test_it_says_what_the_rows_say(path):
    frame = load(path)
    for index, row in enumerate(read_rows(path)):
        for column in COLUMNS:
            value = frame[column.name][index]
            if row[column.name] is None:
                assert pd.isna(value), column.name
            elif column.type == "time":
                assert value == pd.Timestamp(row[column.name])
            else:
                assert value == row[column.name], column.name


@pytest.mark.parametrize("sloppy", ["crlf", "lf", "bom", "no last line end", "other order"])
def test_files_that_an_editor_has_saved(path, sloppy):
    before = load(path)
    content = path.read_bytes()
    if sloppy == "lf":
        content = content.replace(b"\r\n", b"\n")
    elif sloppy == "bom":
        content = b"\xef\xbb\xbf" + content
    elif sloppy == "no last line end":
        content = content.rstrip()
    elif sloppy == "other order":
        pd.read_csv(path, dtype=str, keep_default_na=False).iloc[:, ::-1].to_csv(path, index=False)
        content = path.read_bytes()
    path.write_bytes(content)
    pd.testing.assert_frame_equal(load(path), before, check_categorical=False)


@settings(max_examples=25)
@given(cut=st.integers(1, 1200))
def test_a_last_line_that_was_cut_off_is_left_out_with_a_warning(tmp_path_factory, cut):
    from tests.results.conftest import make_row

    path = tmp_path_factory.mktemp("cut") / "r.csv"
    write(path, make_row(), make_row(65))
    lines = path.read_bytes().splitlines(keepends=True)
    last = lines[2][: min(cut, len(lines[2]) - 3)]
    path.write_bytes(b"".join(lines[:2]) + last)
    with pytest.warns(UserWarning, match="line 3: cut off"):
        assert len(load(path)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b",0.0017,", b',"0,0017",'), "line 2: rel_error: found '0,0017', but other numbers"),
        ((b",2.5e-05,", b",-2.5e-05,"), "line 2: time_median_s: expected a finite number above 0"),
        ((b",2.5e-05,", b",nan,"), "line 2: time_median_s: expected"),
        ((b",2.5e-05,", b",fast,"), "line 2: time_median_s: expected"),
        ((b",64,32,16,", b",64.5,32,16,"), "line 2: m: expected an integer"),
        ((b",ok,", b",fine,"), "line 2: status: expected one of ok"),
        ((b",cold,", b",warm,"), "line 2: cache: expected one of cold, hot"),
        ((b",false,matmul", b",perhaps,matmul"), "line 2: simulated: expected true or false"),
        ((b"2026-01-02T", b"02.01.2026 "), "line 2: started_at: expected a time in UTC"),
        ((b"time_median_s", b"time_median"), "missing column time_median_s (did you mean"),
        ((b"time_mean_s", b"time_median_s"), "column time_median_s appears twice"),
        ((b"\r\n1,", b"\r\n2,"), "has schema version 2, and this version of bench reads up to 1"),
        ((b",matmul,torch,", b",matmul,torch,,"), "cells, but the header has"),
        ((b",matmul,torch,", b",matmul,"), "cells, but the header has"),
        ((b"Example", b"Ex\xffample"), "line 2 is not UTF-8"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(path, change, message):
    edit(path, change)
    with pytest.raises(UsageError, match=re.escape(message)):
        load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n", "schema_version is missing"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "is not UTF-8"),
    ],
)
def test_files_that_are_no_results(tmp_path, content, message):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load(tmp_path / "x.csv")


def test_folders_and_globs(path, tmp_path, ok):
    write(tmp_path / "s.csv", ok(70))
    assert len(load(tmp_path)) == len(load([path, tmp_path / "s.csv"])) == 4
    assert len(load(f"{tmp_path}/[s]*.csv")) == 1
    assert len(load([path, path])) == 3, "a file counts once"
    with pytest.raises(UsageError, match="no file matches"):
        load(f"{tmp_path}/*.tsv")
    with pytest.raises(UsageError, match="no such file"):
        load(tmp_path / "none.csv")


def test_a_folder_of_other_files(tmp_path, path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.warns(UserWarning, match=r"other\.csv: not a result file; left out"):
        assert len(load(tmp_path)) == 3
    path.unlink()
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(UsageError, match=r"none of the 1 \.csv files here is a result file"),
    ):
        load(tmp_path)
    (tmp_path / "other.csv").unlink()
    with pytest.raises(UsageError, match=r"no \.csv file"):
        load(tmp_path)


def test_no_rows(tmp_path):
    frame = load(write(tmp_path / "r.csv"))
    assert len(frame) == 0
    assert str(frame["m"].dtype) == "Int64"
    assert str(frame["started_at"].dtype) == "datetime64[us, UTC]"


def test_only_some_columns(path):
    assert list(load(path, ["status", "m"]).columns) == ["m", "status", "file"]
