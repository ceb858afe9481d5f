"""The reader: spreadsheets' habits are taken, everything else is named by line and column."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.results.reader import load, parse, read_rows
from bench.results.writer import ResultFile
from tests.results.rows import ROW


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "r.csv"
    with ResultFile.create(path) as file:
        file.append(ROW)
        file.append({**ROW, "case_id": "matmul-f32-2", "power_w": 300.5})
    return path


def test_line_ends_and_byte_order_marks(path):
    expected = read_rows(path)
    for change in (
        lambda content: content.replace(b"\r\n", b"\n"),
        lambda content: b"\xef\xbb\xbf" + content,
    ):
        path.write_bytes(change(path.read_bytes()))
        assert read_rows(path) == expected


def test_a_truncated_last_line_is_left_out(path):
    path.write_bytes(path.read_bytes()[:-30])
    assert len(read_rows(path)) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"2e-06", b"fast", r"r\.csv: line 2: time_median_s: 'fast' is not a number"),
        (b",cpu,", b",,", "line 2: backend: is empty"),
        (b"host,", b"hots,", r"hots: unknown column \(did you mean 'host'\?\)"),
        (b"host,", b"", "host: column is missing"),
        (b"host,", b"host,host,", "host: column appears twice"),
        (b",cpu,", b",cpu,extra,", "cells instead of"),
    ],
)
def test_what_is_wrong_is_named(path, old, new, message):
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        read_rows(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"a,b\r\n1,2\r\n", "not the columns of a result file"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b'a,"b\r\n', "not CSV"),
    ],
)
def test_no_result_file(tmp_path, content, message):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_rows(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_rows(tmp_path / "x.csv")
    with pytest.raises(UsageError, match="is a folder"):
        read_rows(tmp_path)


@settings(deadline=None)
@given(st.text())
def test_any_text_gives_rows_or_problems(text):
    rows, problems = parse(text)
    assert problems or rows == [] or rows


def test_load_gives_typed_columns(path):
    frame = load([path, path])
    assert len(frame) == 4
    assert frame["m"].dtype == "Int64"
    assert frame["simulated"].dtype == "boolean"
    assert frame["time_median_s"].iloc[0] == 2e-6
    assert frame["power_w"].isna().tolist() == [True, False, True, False]
    assert set(frame["file"]) == {str(path)}
