"""Files that are refused, and unusual files that are read all the same, by name."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable

from bench.results.cells import format_row
from bench.results.columns import COLUMNS, NAMES
from bench.results.writer import record
from tests.results.conftest import make_row

Change = Callable[[bytes], bytes]

# A row without rounds describes a single visit, which compares differently: see test_compare.
LATE = [column.name for column in COLUMNS if column.late and column.group != "time"]


def sound(*rows: dict) -> bytes:
    """Return a result file of three cases, or of the given rows."""
    written = rows or (make_row(64), make_row(65), make_row(66))
    return b"".join([record(NAMES), *(record(format_row(row)) for row in written)])


def cell(name: str, text: str) -> Change:
    """Return the change that puts a text into a column of the first row."""

    def change(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        cells = _records(lines[1])[0]
        cells[NAMES.index(name)] = text
        return b"".join([lines[0], record(cells), *lines[2:]])

    return change


def title(old: str, new: str) -> Change:
    """Return the change that renames a column."""
    return lambda content: re.sub(rf"\b{old}\b".encode(), new.encode(), content, count=1)


def without(*names: str) -> Change:
    """Return the change that drops columns, as in files from before the harness had them."""

    def change(content: bytes) -> bytes:
        kept = [place for place, name in enumerate(NAMES) if name not in names]
        return b"".join(record([cells[place] for place in kept]) for cells in _records(content))

    return change


def spreadsheet(separator: str) -> Change:
    """Return the change that a spreadsheet with decimal commas makes."""

    def decimal(name: str, text: str) -> str:
        number = next(column for column in COLUMNS if column.name == name).type == "number"
        return text.replace(".", ",") if number else text

    def change(content: bytes) -> bytes:
        header, *rows = _records(content)
        lines = [
            header,
            *([decimal(*pair) for pair in zip(NAMES, row, strict=True)] for row in rows),
        ]
        return "".join(_joined(line, separator) for line in lines).encode()

    return change


def _joined(cells: list[str], separator: str) -> str:
    quoted = [f'"{text.replace(chr(34), chr(34) * 2)}"' for text in cells]
    return separator.join(quoted) + "\r\n"


def _records(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


# Changes after which a sound file is refused, and the message.
REFUSED: dict[str, tuple[Change, str]] = {
    "a picture": (lambda _: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not UTF-8|is no text"),
    "a compressed file": (gzip.compress, "not UTF-8|is no text"),
    "a text": (lambda _: b"Which chip is faster?\nIt depends.\n", "not the columns of a result"),
    "JSON": (lambda _: b'[{"schema_version": 1}]', "not the columns of a result file"),
    "UTF-16": (lambda content: content.decode().encode("utf-16"), "not UTF-8|is no text"),
    "other columns": (lambda _: b"a,b\n1,2\n", "schema_version is missing"),
    "empty": (lambda _: b"", "is empty"),
    "blank lines": (lambda _: b"\r\n\r\n", "is empty"),
    "zeros": (lambda _: bytes(3 << 20), "line 1 is no text"),
    "an endless line": (lambda content: content + b"x" * (3 << 20), "line 5 is no text"),
    "zeros behind rows": (lambda content: content + bytes(3 << 20), "line 5 is no text"),
    "a newer version": (cell("schema_version", "2"), "schema version 2.* it takes a newer one"),
    "version zero": (cell("schema_version", "0"), "line 2: schema_version: expected an integer"),
    "a missing column": (title("time_median_s", "time"), "missing column time_median_s"),
    "a column twice": (title("time_mean_s", "time_median_s"), "time_median_s appears twice"),
    "hardly any columns": (lambda _: b"schema_version,m\n1,1\n", "of 1.. are missing"),
    "a cell too many": (lambda content: content.replace(b",ok,", b",ok,,", 1), "line 2: .* cells"),
    "a cell too few": (lambda content: content.replace(b",ok,", b",", 1), "line 2: .* cells"),
    "an open quote": (lambda content: content.replace(b",ok,", b',"ok,', 1), "not CSV|cells"),
    "a text for a number": (cell("time_median_s", "fast"), "line 2: time_median_s: expected a fin"),
    "a unit": (cell("time_median_s", "25 µs"), "line 2: time_median_s: expected a finite number"),
    "a fraction of a row": (cell("m", "64.5"), "line 2: m: expected an integer of at least 1"),
    "a rounded integer": (cell("flops", "6.5E+04"), "line 2: flops: expected an integer"),
    "neither true nor false": (cell("simulated", "perhaps"), "line 2: simulated: expected true or"),
    "a local date": (cell("started_at", "02.01.2026 03:04"), "line 2: started_at: expected a time"),
    "no JSON": (cell("params", "{m:1}"), "line 2: params: expected a JSON object"),
    "a list of parameters": (cell("params", "[]"), "line 2: params: expected a JSON object"),
    "deep parameters": (cell("params", "[" * 9999), "line 2: params: expected a JSON object"),
    "an unknown status": (cell("status", "fine"), "line 2: status: expected one of ok"),
    "a rate that is NaN": (cell("achieved_tflops", "nan"), "line 2: achieved_tflops: expected a f"),
    "a rate below zero": (cell("achieved_tflops", "-1.5"), "line 2: achieved_tflops: expected a f"),
    "a rate of zero": (cell("achieved_gbps", "0"), "line 2: achieved_gbps: expected a finite numb"),
    "an infinite rate": (cell("achieved_gbps", "inf"), "line 2: achieved_gbps: expected a finite"),
    "a time below zero": (cell("time_median_s", "-2.5e-05"), "line 2: time_median_s: expected a"),
    "beyond the peak": (cell("utilization", "1.03"), "utilization: expected at most 1.02"),
    "points and commas": (cell("time_median_s", "0,000025"), "have a decimal point"),
    "thousands": (cell("time_median_s", "1,234.5"), "write decimal points, and nothing between"),
    "two commas": (cell("time_median_s", "1,234,567"), "write decimal points, and nothing"),
}

# Changes after which a file is still read, and the warning, if any.
READ: dict[str, tuple[Change, str | None]] = {
    "LF": (lambda content: content.replace(b"\r\n", b"\n"), None),
    "CRLF": (lambda content: content, None),
    "a byte order mark": (lambda content: b"\xef\xbb\xbf" + content, None),
    "TRUE and FALSE": (cell("simulated", "FALSE"), None),
    "an older version": (without(*LATE), None),
    "a column of one's own": (
        lambda content: content.replace(b"\r\n", b",\r\n").replace(b",\r\n", b",note\r\n", 1),
        "line 1: note: not a column",
    ),
    "semicolons": (spreadsheet(";"), "separated by semicolons"),
    "tabs": (spreadsheet("\t"), "separated by tabs"),
    "decimal commas": (spreadsheet(","), "line 2: .*decimal commas"),
    "a byte order mark and semicolons": (
        lambda content: b"\xef\xbb\xbf" + spreadsheet(";")(content),
        "separated by semicolons",
    ),
}
