"""Reads result files row by row; what is wrong is named by line and column. Frames: load.py.

Anything that RFC 4180 calls CSV is read: CRLF or LF, a byte order mark, columns in another order; and
what other programs make of it (dialect.py).
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
from bench.results.dialect import SEPARATORS, Dialect, separator_of
from bench.results.schema import KEY

# No record is nearly as long; what is, is no text file, and need not be read into memory.
LONGEST_LINE = 1 << 20

CUT_OFF = "cut off before its end; left out"
DECIMAL_COMMAS = "numbers have decimal commas; read as such"

# Rows that are checked at once.
CHUNK = 1 << 12


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
    """Return the rows of a sound result file.

    `notice` receives what does not affect the rows: a last line that was cut off, a column that is not
    known, the spelling of another program; by default it becomes a Python warning. Raises UsageError,
    naming file, line and column, where a cell is not readable or contradicts others.
    """

    def warn(problem: Problem) -> None:
        warnings.warn(f"{path}: {problem}", InputWarning, stacklevel=3)

    with open_result(Path(path)) as stream:
        return rows_of(check(scan(stream, str(path), notice or warn)), str(path))


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


Record = tuple[int, Row, list[Problem]]


def rows_of(records: Iterable[Record], name: str) -> list[Row]:
    """Return the rows of records. Raises UsageError if one has a problem; `name` is the file."""
    rows = []
    for _, row, problems in records:
        if problems:
            raise UsageError("\n".join(f"{name}: {problem}" for problem in problems))
        rows.append(row)
    return rows


def scan(
    stream: BinaryIO, name: str, notice: Notice, dialect: Dialect | None = None
) -> Iterator[Record]:
    """Yield each record's line, its row, and the cells that cannot be read: the row lacks those.

    Raises UsageError for what is not a result file at all. A `dialect` is one that has learned from the
    file already, and whose notices the caller gives.
    """
    lines = _Lines(stream, name)
    records = _records(lines, notice)
    header, first = _head(records, name)
    spelling = Dialect() if dialect is None else dialect
    places = _places(name, header, notice, spelling)
    for _, cells in first if dialect is None else ():
        spelling.learn(_pairs(places, cells))
    for line, cells in itertools.chain(first, records):
        row, problems = _read_record(line, cells, len(header), places, spelling)
        if problems and not lines.ended:
            notice(Problem(line, None, CUT_OFF))
            break
        yield line, row, problems
    if dialect is None:
        for problem in notices_of(spelling):
            notice(problem)


def check(records: Iterable[Record]) -> Iterator[Record]:
    """Yield records with what contradicts itself among their problems.

    Rows with cells that cannot be read have no other problems.
    """
    # Here, because a run that writes a file needs no NumPy.
    from bench.results.column_arrays import ColumnArrays
    from bench.results.soundness import Repeats, faults

    iterator, repeats = iter(records), Repeats()
    while part := list(itertools.islice(iterator, CHUNK)):
        readable = [record for record in part if not record[2]]
        for fault in faults(ColumnArrays.of_rows([row for _, row, _ in readable])):
            line, _, problems = readable[fault.row]
            problems.append(Problem(line, fault.column, fault.message))
        for line, row, problems in readable:
            message = repeats.fault(tuple(row[name] for name in KEY), line)
            if message:
                problems.append(Problem(line, "case_id", message))
        yield from part


def notices_of(dialect: Dialect) -> list[Problem]:
    """Return what to say about how a file is spelled."""
    notices = []
    if dialect.decimal_commas is not None:
        notices.append(Problem(*dialect.decimal_commas, DECIMAL_COMMAS))
    if dialect.respelled is not None:
        notices.append(Problem(1, None, dialect.respelled))
    return notices


def read_header(stream: BinaryIO, name: str, notice: Notice, dialect: Dialect) -> list[str]:
    """Return the titles of a result file's columns, and let the dialect learn from the first record.

    Raises UsageError for what is not a result file, is of a newer version, or lacks columns.
    """
    header, first = _head(_records(_Lines(stream, name), lambda problem: None), name)
    places = _places(name, header, notice, dialect)
    for _, cells in first:
        dialect.learn(_pairs(places, cells))
    return header


Cells = tuple[int, list[str]]
Place = tuple[Column, int]


def _head(records: Iterator[Cells], name: str) -> tuple[list[str], list[Cells]]:
    """Return the header, and the first record if there is one."""
    _, header = next(records, (0, []))
    _check_is_result(name, header)
    first = list(itertools.islice(records, 1))
    for _, cells in first:
        _check_version(name, cells[header.index("schema_version") :][:1])
    return header, first


def _pairs(places: Iterable[Place], cells: list[str]) -> Iterator[tuple[Column, str]]:
    return ((column, cells[place]) for column, place in places if place < len(cells))


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


def _records(lines: _Lines, notice: Notice) -> Iterator[Cells]:
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


def _read_record(
    line: int,
    cells: list[str],
    length: int,
    places: Iterable[Place],
    dialect: Dialect,
) -> tuple[Row, list[Problem]]:
    row: Row = dict.fromkeys(NAMES)
    if len(cells) != length:
        return row, [Problem(line, None, f"{len(cells)} cells, but the header has {length}")]
    problems = []
    for column, place in places:
        try:
            row[column.name] = parse_cell(column, dialect.translate(line, column, cells[place]))
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
    version = cells[0].strip() if cells else ""
    if re.fullmatch(r"[0-9]{1,9}", version) and int(version) > SCHEMA_VERSION:
        raise UsageError(
            f"{name}: has schema version {version}, and this version of bench reads up to "
            f"{SCHEMA_VERSION}: it takes a newer one"
        )


def _places(name: str, header: list[str], notice: Notice, dialect: Dialect) -> list[Place]:
    """Return where each column is. Raises UsageError if one is missing or there twice."""
    strange = [title for title in header if title not in BY_NAME]
    missing = [column.name for column in COLUMNS if column.name not in header and not column.late]
    twice = [column.name for column in COLUMNS if header.count(column.name) > 1]
    complaints = [f"missing column {column}{nearest(column, strange)}" for column in missing]
    if len(missing) > 10:
        lack = f"{len(missing)} of {len(NAMES)} are missing, {missing[0]} first"
        complaints = [f"not the columns of a result file: {lack}"]
    complaints += [f"column {title} appears twice" for title in twice]
    if complaints:
        raise UsageError("\n".join(f"{name}: line 1: {text}" for text in complaints))
    for title in strange:
        if not dialect.ignore(title):
            notice(Problem(1, title, "not a column of result files; not read"))
    return [(column, header.index(column.name)) for column in COLUMNS if column.name in header]
