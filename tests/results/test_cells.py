"""Cells: what is written reads back equal, and no spreadsheet runs it."""

import csv
import io

import pytest
from hypothesis import given, settings

from bench.results.cells import FORMULA_STARTS, format_row, parse_cell
from bench.results.schema import BY_NAME, COLUMNS
from bench.results.writer import record
from tests.results.rows import ROW, any_row


@settings(deadline=None)
@given(any_row)
def test_a_row_survives_the_file(row):
    line = record(format_row(row))
    assert line.count(b"\n") == 1, "a record is a line"
    (cells,) = csv.reader(io.StringIO(line.decode(), newline=""))
    for column, text in zip(COLUMNS, cells, strict=True):
        expected = row[column.name]
        if isinstance(expected, str):
            expected = " ".join(expected.splitlines()).replace("\0", "") or None
        assert parse_cell(column, text) == expected
        assert not text.startswith(FORMULA_STARTS) or column.type != "text"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "'quoted", '=HYPERLINK("x")']
)
def test_formulas_are_defused_and_come_back(text):
    cells = format_row({**ROW, "error": text})
    written = cells[list(BY_NAME).index("error")]
    assert written.startswith("'")
    assert parse_cell(BY_NAME["error"], written) == text


def test_unknown_is_empty_and_nan_is_unknown():
    cells = dict(zip(BY_NAME, format_row({**ROW, "power_w": float("nan")}), strict=True))
    assert cells["power_w"] == ""
    assert cells["driver"] == ""
    assert cells["simulated"] == "false"


def test_a_misspelt_column_is_a_bug():
    with pytest.raises(KeyError, match="time_meidan_s"):
        format_row({**ROW, "time_meidan_s": 1.0})


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("time_median_s", "1,5", "a decimal comma"),
        ("time_median_s", "inf", "not finite"),
        ("achieved_gbps", "-1", "not above zero"),
        ("achieved_gbps", "0", "not above zero"),
        ("samples", "6.5", "not a integer"),
        ("simulated", "yes", "neither true nor false"),
        ("status", "fine", "is none of ok, unsupported"),
        ("host", "", "is empty"),
    ],
)
def test_wrong_cells(column, text, message):
    with pytest.raises(ValueError, match=message):
        parse_cell(BY_NAME[column], text)
