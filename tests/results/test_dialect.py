"""Files that other programs have saved: the same rows, and one warning."""

from __future__ import annotations

import csv
import io
import warnings

import pandas as pd
import pytest

from bench.errors import InputWarning, UsageError
from bench.kernels.memory import Memory
from bench.results.columns import BY_NAME
from bench.results.dialect import Dialect
from bench.results.load import load
from bench.results.reader import read_rows
from bench.results.validate import validate
from tests.results.bad_files import cell, sound
from tests.results.conftest import make_failed_row, make_row


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "r.csv"
    large = make_row(flops=2**60, warnings="too fast", rel_error=0.25, tolerance=0.5)
    rows = [make_row(Memory(operation="copy", size_mib=1)), large, make_failed_row("timeout", 65)]
    path.write_bytes(sound(*rows))
    return path


def only_warning(function, *arguments):
    """Return what a function returns, and its one warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*arguments)
    (warning,) = caught
    assert warning.category is InputWarning
    return result, str(warning.message)


def like_r(path, target):
    """Save a file as R's read.csv and write.csv do: texts in quotes, and NA for what is missing."""
    rows = list(csv.reader(io.StringIO(path.read_text(), newline="")))
    lines = [",".join(f'"{title}"' for title in ["", *rows[0]])]
    for number, row in enumerate(rows[1:], 1):
        cells = [f'"{number}"']
        for title, text in zip(rows[0], row, strict=True):
            quoted = text.replace('"', '""')
            is_text = BY_NAME[title].type in ("text", "json", "time")
            cells.append("NA" if not text else f'"{quoted}"' if is_text else text.upper())
        lines.append(",".join(cells).replace("E-", "e-"))
    target.write_text("\n".join(lines) + "\n")


SAVES = {
    "load and to_csv": lambda path, target: load(path).to_csv(target, index=False),
    "load and to_csv with row numbers": lambda path, target: load(path).to_csv(target),
    "load and to_csv with NA": lambda path, target: load(path).to_csv(target, na_rep="NA"),
    "read_csv and to_csv": lambda path, target: pd.read_csv(path).to_csv(target, index=False),
    "twice": lambda path, target: pd.read_csv(io.StringIO(load(path).to_csv())).to_csv(target),
    "R": like_r,
}


@pytest.mark.parametrize("name", SAVES)
@pytest.mark.parametrize("last", ["whole", "without a line end"])
def test_a_saved_frame_is_read_as_the_file_it_came_from(file, tmp_path, name, last):
    target = tmp_path / "saved.csv"
    SAVES[name](file, target)
    if last != "whole":
        target.write_bytes(target.read_bytes().rstrip(b"\n"))
    for read, expected in ((load, load(file)), (read_rows, read_rows(file))):
        result, message = only_warning(read, target)
        assert message.startswith(f"{target}: line 1: saved by another program (")
        if read is load:
            drop = {"columns": "file"}
            pd.testing.assert_frame_equal(
                result.drop(**drop), expected.drop(**drop), check_categorical=False
            )
        else:
            assert result == expected
    validation = validate(target)
    assert validation.problems == []
    assert len(validation.warnings) == 1


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("m", "16.0", "16"),
        ("m", "-3.0", "-3"),
        ("m", "16.000000", "16"),
        ("m", "16,0", "16"),
        ("m", "16.000", "16.000"),  # it may be sixteen thousand
        ("m", "16.5", "16.5"),
        ("m", "6.5E+04", "6.5E+04"),  # a spreadsheet has rounded it
        ("m", "1e+05", "100000"),
        ("flops", "1.152921504606847e+18", "1152921504606846976"),
        ("m", "1.5e0", "1.5e0"),
        ("started_at", "2026-01-02 03:04:05.678+00:00", "2026-01-02T03:04:05.678Z"),
        ("started_at", "2026-01-02T03:04:05.678000+0000", "2026-01-02T03:04:05.678000Z"),
        ("started_at", "2026-01-02T03:04:05.678000000Z", "2026-01-02T03:04:05.678000000Z"),
        ("started_at", "2026-01-02 03:04:05Z", "2026-01-02T03:04:05Z"),
        ("started_at", "2026-01-02 03:04:05 UTC", "2026-01-02T03:04:05Z"),
        ("started_at", "2026-01-02T03:04:05+01:00", "2026-01-02T03:04:05+01:00"),
        ("started_at", "2026-01-02T03:04:05", "2026-01-02T03:04:05"),
        ("source_date", "2026.0", "2026"),
        ("rel_error", "Inf", "inf"),
        ("host", "16.0", "16.0"),
        ("host", "NA", "NA"),
    ],
)
def test_a_cell(name, text, expected):
    dialect = Dialect()
    assert dialect.translate(2, BY_NAME[name], text) == expected
    assert (dialect.respelled is None) == (text == expected)


def test_na_is_a_name_where_cells_are_empty(file):
    file.write_bytes(sound(make_row(host="NA")))
    assert read_rows(file)[0]["host"] == load(file)["host"][0] == "NA"


@pytest.mark.parametrize("text", ["nan", "NaN", "NA"])
def test_a_rate_that_is_no_number_is_not_an_empty_cell(file, text):
    file.write_bytes(cell("achieved_gbps", text)(sound()))
    for read in (load, read_rows):
        with pytest.raises(UsageError, match="achieved_gbps: expected a finite number"):
            read(file)
