"""Reads result files back into rows and data frames; a wrong cell is named by line and column."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError, nearest
from bench.results.cells import parse_cell
from bench.results.schema import BY_NAME, COLUMNS, NAMES, SCHEMA_VERSION

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, object]

# A result file of a million rows is smaller; anything larger is some other file.
LARGEST_BYTES = 4 << 30


@dataclass(frozen=True)
class Problem:
    """Something wrong in a file: the line, counted from one for the header, and the column."""

    line: int
    column: str
    text: str

    def __str__(self) -> str:
        """Return `line 3: time_median_s: …`."""
        return (
            f"line {self.line}: {self.column}: {self.text}"
            if self.column
            else f"line {self.line}: {self.text}"
        )


def read_text(path: Path) -> str:
    """Return a file's text. Raises UsageError for what cannot be a result file."""
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a result file")
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise UsageError(f"{path}: larger than {LARGEST_BYTES >> 30} GiB; not a result file")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}; not a result file") from None


def parse(text: str) -> tuple[list[tuple[int, Row]], list[Problem]]:
    """Return the rows with their line numbers, and all that is wrong with the cells.

    A row with a wrong cell is left out.
    """
    lines = text.splitlines()
    try:
        records = list(csv.reader(lines, strict=True))
    except csv.Error as error:
        return [], [Problem(1, "", f"not CSV: {error}")]
    if not records or not any(records):
        return [], [Problem(1, "", "the file is empty")]
    problems = check_header(records[0])
    if problems:
        return [], problems
    rows = []
    for line, cells in enumerate(records[1:], start=2):
        if not cells:
            continue
        row, wrong = parse_record(line, cells)
        problems += wrong
        if not wrong:
            rows.append((line, row))
    return rows, problems


def check_header(header: list[str]) -> list[Problem]:
    """Return what is wrong with the names of the columns."""
    problems = [
        Problem(1, name, f"unknown column{nearest(name, NAMES)}")
        for name in header
        if name not in BY_NAME
    ]
    problems += [Problem(1, name, "column is missing") for name in NAMES if name not in header]
    doubled = sorted({name for name in header if header.count(name) > 1})
    problems += [Problem(1, name, "column appears twice") for name in doubled]
    if len(problems) > len(NAMES) // 2:
        return [Problem(1, "", "these are not the columns of a result file")]
    if not problems and tuple(header) != NAMES:
        problems = [
            Problem(1, "", "the columns are in another order than docs/results.md has them")
        ]
    return problems


def parse_record(line: int, cells: list[str]) -> tuple[Row, list[Problem]]:
    """Return a record's values, and what is wrong with them."""
    if len(cells) != len(COLUMNS):
        text = f"{len(cells)} cells instead of {len(COLUMNS)}; cut off?"
        return {}, [Problem(line, "", text)]
    row: Row = {}
    problems = []
    for column, cell in zip(COLUMNS, cells, strict=True):
        try:
            row[column.name] = parse_cell(column, cell)
        except ValueError as error:
            problems.append(Problem(line, column.name, str(error)))
    if not problems and row["schema_version"] != SCHEMA_VERSION:
        text = f"{row['schema_version']}; this version of bench reads {SCHEMA_VERSION}"
        problems.append(Problem(line, "schema_version", text))
    return row, problems


def parse_text(text: str, name: str) -> list[Row]:
    """Return all rows. Raises UsageError naming file, line and column of everything wrong."""
    rows, problems = parse(text)
    if problems:
        raise UsageError("\n".join(f"{name}: {problem}" for problem in problems[:20]))
    return [row for _, row in rows]


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file; a last line that was cut off is left out."""
    text = read_text(path)
    whole = text[: text.rfind("\n") + 1]
    return parse_text(whole or text, str(path))


def load(paths: Path | str | Iterable[Path | str]) -> pd.DataFrame:
    """Return the rows of one or more files as a data frame, with the column `file` added.

    Integers that may be unknown are pandas' nullable Int64, booleans its boolean.
    """
    import pandas as pd

    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    frames = []
    for path in given:
        frame = pd.DataFrame(read_rows(Path(path)), columns=list(NAMES))
        frames.append(frame.assign(file=str(path)))
    if not frames:
        raise UsageError("no result file given")
    kinds = {"integer": "Int64", "number": "float64", "boolean": "boolean"}
    joined = pd.concat(frames, ignore_index=True)
    typed: pd.DataFrame = joined.astype({c.name: kinds.get(c.type, "object") for c in COLUMNS})
    return typed
