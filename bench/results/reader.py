"""Reads result files row by row; what is wrong is named by line and column. Frames: load.py.

Anything that RFC 4180 calls CSV is read: CRLF or LF, a byte order mark, columns in another order; and
what spreadsheets make of it where commas are decimal: semicolons or tabs between cells, `0,25`.
"""

from __future__ import annotations

import csv
import itertools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bench.errors import InputWarning, UsageError, nearest
from bench.results.cells import parse_cell
from bench.results.columns import BY_NAME, COLUMNS, NAMES, SCHEMA_VERSION, Column, Row

# No record is nearly as long; what is, is no text file, and need not be read into memory.
LONGEST_LINE = 1 << 20

CUT_OFF = "cut off before its end; left out"
DECIMAL_COMMAS = "numbers have decimal commas; read as such"

# The first is the file's own; the others are what spreadsheets write where commas are decimal.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

_DECIMAL = re.compile(r"[+-]?\d*([.,])\d*([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Problem:
    """Something wrong in a file: in a line, counted from 1 for the header, and mostly in a column."""

    line: int
    column: str | None
    message: str

    def __str__(self) -> str:
        """Return `line 3: m: expected …`."""
        where = f"line {self.line}: {self.column}" if self.column else f"line {self.line}"
        return f"{where}: {self.message}"


Notice = Callable[[Problem], None]


def read_rows(path: Path | str, notice: Notice | None = None) -> list[Row]:
    """Return the rows of a result file.

    `notice` is told what could be passed over: a last line that was cut off, or a column that is not
    known; by default it becomes a Python warning. Raises UsageError naming file, line and column of
    what could not.
    """

    def warn(problem: Problem) -> None:
        warnings.warn(f"{path}: {problem}", InputWarning, stacklevel=3)

    with open_result(Path(path)) as stream:
        return rows_of(stream, str(path), notice or warn)


def open_result(path: Path) -> BinaryIO:
    """Open a file to read it. Raises UsageError if it cannot be."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        # It could be read once at most, and a pipe without a writer would keep us waiting for ever.
        raise UsageError(f"{path} is a pipe or a device; write the rows to a file first")
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder, not a result file") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def rows_of(stream: BinaryIO, name: str, notice: Notice) -> list[Row]:
    """Return the rows of a stream; `name` is what messages call it. Raises UsageError."""
    rows = []
    for _, row, problems in scan(stream, name, notice):
        if problems:
            raise UsageError("\n".join(f"{name}: {problem}" for problem in problems))
        rows.append(row)
    return rows


def scan(stream: BinaryIO, name: str, notice: Notice) -> Iterator[tuple[int, Row, list[Problem]]]:
    """Yield each record's line, its row, and what is wrong with it: then the row lacks those cells.

    Raises UsageError for what is not a result file at all.
    """
    lines = _Lines(stream, name)
    records = _records(lines, notice)
    header, first = _head(records, name)
    places = _places(name, header, notice)
    marks = _DecimalMarks(notice)
    for line, cells in itertools.chain(first, records):
        row, problems = _read_record(line, cells, len(header), places, marks)
        if problems and not lines.ended:
            notice(Problem(line, None, CUT_OFF))
            return
        yield line, row, problems


def read_header(stream: BinaryIO, name: str, notice: Notice) -> list[str]:
    """Return the titles of a result file's columns, read up to its first record.

    Raises UsageError for what is not a result file, is of a newer version, or lacks columns.
    """
    header, _ = _head(_records(_Lines(stream, name), lambda problem: None), name)
    _places(name, header, notice)
    return header


Record = tuple[int, list[str]]


def _head(records: Iterator[Record], name: str) -> tuple[list[str], list[Record]]:
    """Return the header, and the first record if there is one."""
    _, header = next(records, (0, []))
    _check_is_result(name, header)
    first = list(itertools.islice(records, 1))
    for _, cells in first:
        _check_version(name, cells[header.index("schema_version") :][:1])
    return header, first


class _Lines:
    """The lines of a stream, decoded; knows how many there were, and whether the last one ended."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self.name = name
        self.count = 0
        self.ended = True

    def __iter__(self) -> Iterator[str]:
        while line := self._stream.readline(LONGEST_LINE):
            self.count += 1
            self.ended = line.endswith(b"\n")
            if len(line) == LONGEST_LINE or b"\0" in line:
                raise UsageError(f"{self.name}: not a result file: line {self.count} is no text")
            try:
                yield line.decode("utf-8-sig" if self.count == 1 else "utf-8")
            except UnicodeDecodeError:
                if self.ended:
                    raise UsageError(f"{self.name}: line {self.count} is not UTF-8") from None
                yield line.decode("utf-8", "ignore")  # cut off within a character


def _records(lines: _Lines, notice: Notice) -> Iterator[tuple[int, list[str]]]:
    """Yield the records that are not blank, with the number of the line where each begins."""
    text = iter(lines)
    first = next(text, "")
    separator = separator_of(first)
    if separator != ",":
        called = SEPARATORS[separator]
        notice(Problem(1, None, f"cells are separated by {called}; read as such"))
    records = csv.reader(itertools.chain([first], text), delimiter=separator, strict=True)
    for number in itertools.count():
        begin = lines.count + 1 if number else 1
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            if begin == lines.count and not lines.ended:
                notice(Problem(begin, None, CUT_OFF))
                return
            raise UsageError(f"{lines.name}: line {begin}: not CSV: {error}") from None
        if cells:
            yield begin, cells


def separator_of(header: str) -> str:
    """Return what is between the titles of a result file; for any other line a comma."""
    for separator in SEPARATORS:
        if "schema_version" in [title.strip('"\r\n') for title in header.split(separator)]:
            return separator
    return ","


class _DecimalMarks:
    """Reads numbers with decimal points or decimal commas, but not both in one file.

    Where both are, one of them groups thousands, and 1,234 could be either.
    """

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._mark: str | None = None

    def pointed(self, line: int, column: Column, text: str) -> str:
        """Return a number's text with a decimal point. Raises ValueError for the file's other mark."""
        found = _DECIMAL.fullmatch(text)
        if not found:
            return text
        mark = found[1]
        if self._mark is None and mark == ",":
            self._notice(Problem(line, column.name, DECIMAL_COMMAS))
        self._mark = self._mark or mark
        if mark != self._mark:
            raise ValueError(
                f"found {text!r}, but other numbers of this file have a decimal "
                f"{'comma' if mark == '.' else 'point'}; expected the same mark in all, and nothing "
                "between thousands"
            )
        return text.replace(",", ".")


def _read_record(
    line: int,
    cells: list[str],
    length: int,
    places: Iterable[tuple[Column, int]],
    marks: _DecimalMarks,
) -> tuple[Row, list[Problem]]:
    row: Row = dict.fromkeys(NAMES)
    if len(cells) != length:
        return row, [Problem(line, None, f"{len(cells)} cells, but the header has {length}")]
    problems = []
    for column, place in places:
        try:
            text = cells[place]
            if column.type == "number":
                text = marks.pointed(line, column, text)
            row[column.name] = parse_cell(column, text)
        except ValueError as error:
            problems.append(Problem(line, column.name, str(error)))
    return row, problems


def _check_is_result(name: str, header: list[str]) -> None:
    if not header:
        raise UsageError(f"{name}: is empty, not a result file")
    if "schema_version" not in header:
        raise UsageError(f"{name}: not the columns of a result file: schema_version is missing")


def _check_version(name: str, cells: list[str]) -> None:
    """Refuse a newer version by its number, before its columns are found to be strange."""
    if cells and cells[0].isdecimal() and int(cells[0]) > SCHEMA_VERSION:
        raise UsageError(
            f"{name}: has schema version {cells[0]}, and this version of bench reads up to "
            f"{SCHEMA_VERSION}: it takes a newer one"
        )


def _places(name: str, header: list[str], notice: Notice) -> list[tuple[Column, int]]:
    """Return where each column is. Raises UsageError if one is missing or there twice."""
    strange = [title for title in header if title not in BY_NAME]
    missing = [column.name for column in COLUMNS if column.name not in header and not column.late]
    twice = sorted({title for title in header if header.count(title) > 1})
    complaints = [f"missing column {column}{nearest(column, strange)}" for column in missing]
    if len(missing) > 10:
        lack = f"{len(missing)} of {len(NAMES)} are missing, {missing[0]} first"
        complaints = [f"not the columns of a result file: {lack}"]
    complaints += [f"column {title} appears twice" for title in twice]
    if complaints:
        raise UsageError("\n".join(f"{name}: line 1: {text}" for text in complaints))
    for title in strange:
        notice(Problem(1, title, "not a column of result files; not read"))
    return [(column, header.index(column.name)) for column in COLUMNS if column.name in header]
