"""Reads result files into one data frame: pandas' parser first, row by row only where it must be.

Most cells of a column repeat, so in columns of text or integers each distinct cell is parsed once,
by the same `parse_cell` that reads single rows. Whatever the fast way does not take as sound is left
to `reader.scan`, which knows the line and the column.
"""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from bench.errors import InputWarning, UsageError, one_of
from bench.results.cells import parse_cell
from bench.results.column_arrays import ColumnArrays
from bench.results.columns import BY_NAME, NAMES, Column, Row
from bench.results.csv_chunks import (
    WHOLE,
    MarkedLines,
    Unsound,
    read_chunks,
    refuse_booleans,
    zeros_and_ones,
)
from bench.results.dialect import Dialect, separator_of
from bench.results.reader import (
    Problem,
    check,
    notices_of,
    open_result,
    read_header,
    scan,
)
from bench.results.schema import KEY
from bench.results.soundness import all_sound

# Rows that are in memory as text at once.
CHUNK = 1 << 16

Paths: TypeAlias = Path | str | Iterable[Path | str]


def load(paths: Paths, columns: Collection[str] | None = None) -> pd.DataFrame:
    """Return the rows of result files, of the `*.csv` in folders and of globs, as one data frame.

    Its columns are those of the files (docs/results.md), or those of them in `columns`, and `file`; all
    are checked, as `bench validate` does.
    Texts are categoricals; integers Int64, but `flops` and `bytes`, which may not fit, float64;
    unknown is NaN in numbers, and missing elsewhere; times have a time zone. A last line that was
    cut off, a column that is not known, and a file in a folder that holds no results are left out
    with a Python warning. Raises UsageError, naming file, line and column, for everything else.
    """
    wanted = _wanted(columns)
    parts = [part for file in result_files(paths) for part in _read(file, wanted)]
    frame: pd.DataFrame = pd.DataFrame(
        {name: _joined([part[name] for part in parts]) for name in [*wanted, "file"]}
    )
    return frame


def result_files(paths: Paths) -> list[Path]:
    """Return the files that are meant: themselves, the `*.csv` of folders, what matches globs."""
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    files = [file for path in given for file in _files(Path(path))]
    return list(dict.fromkeys(files))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        there = sorted(file for file in path.glob("*.csv") if file.is_file())
        if not there:
            raise UsageError(f"{path}: no .csv file in this folder")
        files = [file for file in there if _is_result(file)]
        if not files:
            raise UsageError(f"{path}: none of the {len(there)} .csv files here is a result file")
        return files
    if not path.exists() and glob.has_magic(str(path)):
        matches = [Path(name) for name in sorted(glob.glob(str(path)))]  # noqa: PTH207 (any root)
        if not matches:
            raise UsageError(f"{path}: no file matches")
        return matches
    return [path]


def path_text(path: Path) -> str:
    """Return a path as text that any file can hold; bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _is_result(file: Path) -> bool:
    with open_result(file) as stream:
        if b"schema_version" in stream.readline(1 << 14):
            return True
    warnings.warn(f"{file}: not a result file; left out", InputWarning, stacklevel=5)
    return False


def _wanted(columns: Collection[str] | None) -> list[str]:
    for name in columns or ():
        if name not in BY_NAME:
            raise UsageError(f"no column {name!r}{one_of(name, NAMES)}")
    return [name for name in NAMES if columns is None or name in columns]


def _read(file: Path, wanted: list[str]) -> Iterator[pd.DataFrame]:
    """Yield the parts of a file as frames."""
    notices: list[Problem] = []
    dialect = Dialect()
    with open_result(file) as stream:
        header = read_header(stream, str(file), notices.append, dialect)
    try:
        parts = list(_parsed(file, header, notices, dialect))
        if _has_repeats(parts):
            raise Unsound
        notices += notices_of(dialect)
    except (Unsound, ValueError):  # pandas' ParserError and UnicodeDecodeError are ValueErrors
        notices.clear()
        with open_result(file) as stream:
            parts = list(_row_by_row(stream, str(file), notices))
    for problem in notices:
        warnings.warn(f"{file}: {problem}", InputWarning, stacklevel=4)
    for part in parts:
        place = _from_codes(np.zeros(len(part), np.int8), categories=[path_text(file)])
        yield part[wanted].assign(file=place)


def _parsed(
    file: Path, header: list[str], notices: list[Problem], dialect: Dialect
) -> Iterator[pd.DataFrame]:
    """Yield the parts of a sound file. Raises Unsound or ValueError for any other."""
    with open_result(file) as stream:
        lines = MarkedLines(stream)
        if separator_of(lines.header.decode("utf-8-sig")) != ",":
            raise Unsound
        there = [name for name in NAMES if name in header]
        kinds = {name: "float64" if _is_float(BY_NAME[name]) else "object" for name in there}
        chunks = read_chunks(lines, header, kinds, dialect, CHUNK)
        maybe_boolean = [name for name in there if _is_float(BY_NAME[name])]
        filled: set[str] = set()
        try:
            for chunk in chunks:
                if not (chunk[WHOLE] == WHOLE).all():
                    raise Unsound
                filled |= {name for name in maybe_boolean if chunk[name].notna().any()}
                maybe_boolean = [name for name in maybe_boolean if zeros_and_ones(chunk[name])]
                yield _typed(chunk.reset_index(drop=True), dialect)
        except pd.errors.EmptyDataError:
            maybe_boolean = []
        if suspects := [name for name in maybe_boolean if name in filled]:
            refuse_booleans(file, header, suspects, dialect)
        if lines.rest:
            yield from _row_by_row(lines.last_line(), str(file), notices, lines.count, dialect)
            if dialect.decimal_commas is not None:
                raise Unsound  # the lines before may have points


def _has_repeats(parts: list[pd.DataFrame]) -> bool:
    """Return whether two rows of a file have the same key."""
    keys: pd.DataFrame = pd.DataFrame(
        {name: _joined([part[name] for part in parts]) for name in KEY}
    )
    return bool(keys.duplicated().any())


def _row_by_row(
    stream: BinaryIO,
    name: str,
    notices: list[Problem],
    line: int = 0,
    dialect: Dialect | None = None,
) -> Iterator[pd.DataFrame]:
    """Yield the parts of any file, slowly. Raises UsageError with the line and column of a fault.

    `line` lines stood before the stream's first record, when it is the end of a file.
    """
    shift = max(0, line - 1)

    def notice(problem: Problem) -> None:
        if problem.line > 1 or not shift:
            notices.append(replace(problem, line=problem.line + shift))

    rows: list[Row] = []
    for _, row, problems in check(scan(stream, name, notice, dialect)):
        if problems:
            moved = [replace(problem, line=problem.line + shift) for problem in problems]
            raise UsageError("\n".join(f"{name}: {problem}" for problem in moved))
        rows.append(row)
        if len(rows) == CHUNK:
            yield _from_rows(rows)
            rows = []
    yield _from_rows(rows)


def _from_rows(rows: list[Row]) -> pd.DataFrame:
    frame: pd.DataFrame = pd.DataFrame(
        {name: _column(column, [row[name] for row in rows]) for name, column in BY_NAME.items()}
    )
    return frame


def _typed(chunk: pd.DataFrame, dialect: Dialect) -> pd.DataFrame:
    """Return a parsed chunk with every cell checked. Raises Unsound if one is wrong."""
    frame: pd.DataFrame = pd.DataFrame(
        {
            name: _checked(column, chunk[name], dialect)
            if name in chunk
            else _column(column, [None] * len(chunk))
            for name, column in BY_NAME.items()
        }
    )
    if not all_sound(_arrays(frame)):
        raise Unsound
    return frame


def _arrays(frame: pd.DataFrame) -> ColumnArrays:
    """Return the columns of a frame for the rules."""

    def numbers(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return frame[name].to_numpy(float, na_value=np.nan)

    def texts(name: str) -> np.ndarray[Any, np.dtype[np.object_]]:
        cells = frame[name]
        if isinstance(cells.dtype, pd.CategoricalDtype):
            distinct, codes = list(cells.cat.categories), cells.cat.codes.to_numpy()
        else:  # a time: no rule asks which one
            distinct, codes = ["a time"], -cells.isna().to_numpy(np.int8)
        values = np.array([*distinct, None], dtype=object)
        objects: np.ndarray[Any, np.dtype[np.object_]] = values[codes]
        return objects

    return ColumnArrays(len(frame), numbers, texts)


def _checked(column: Column, cells: pd.Series[Any], dialect: Dialect) -> pd.Series[Any]:
    if _is_float(column):
        values = cells.to_numpy()
        known = values[~np.isnan(values)]
        low = column.minimum is not None and (known < column.minimum).any()
        low = low or (column.above is not None and (known <= column.above).any())
        if low or not (column.infinite or np.isfinite(known).all()):
            raise Unsound
        return cells
    # Not read as a categorical by pandas: that would take a commit 1234e56 for a number.
    codes, texts = pd.factorize(cells)
    if any("\n" in str(text) for text in texts):
        raise Unsound  # a line break within a cell, and the mark with it
    plain = [dialect.translate(0, column, str(text)) for text in texts]
    distinct = _column(column, [parse_cell(column, text) for text in plain])
    if isinstance(distinct.dtype, pd.CategoricalDtype) and len(distinct.cat.categories) == len(
        texts
    ):
        spread: pd.Series[Any] = pd.Series(_from_codes(codes, categories=list(distinct)))
        return spread
    taken: pd.Series[Any] = pd.Series(distinct.array.take(codes, allow_fill=True))
    return taken


def _from_codes(codes: np.ndarray[Any, Any], categories: list[Any]) -> Any:
    """Return a categorical; the stubs of pandas know no codes in an array of NumPy."""
    return pd.Categorical.from_codes(codes, categories=categories)  # type: ignore[call-overload]


def _is_float(column: Column) -> bool:
    return column.type == "number"


def _column(column: Column, values: list[object]) -> pd.Series[Any]:
    """Return values as a column has them."""
    if column.type == "time":
        times = pd.to_datetime(pd.Series(values, dtype="object"), utc=True, format="ISO8601")
        moments: pd.Series[Any] = times.astype("datetime64[us, UTC]")
        return moments
    if column.type in ("text", "json"):
        texts: pd.Series[Any] = pd.Series(pd.Categorical(pd.array(values, dtype="object")))
        return texts
    dtype = {"integer": "Int64", "number": "float64", "boolean": "boolean"}[column.type]
    numbers: pd.Series[Any] = pd.Series(values, dtype="float64" if column.wide else dtype)
    return numbers


def _as_objects(part: pd.Series[Any]) -> pd.Series[Any]:
    """Return a categorical whose categories have the type that all others' have, were there none."""
    categories = pd.Index(part.cat.categories, dtype="object")
    typed: pd.Series[Any] = part.cat.rename_categories(categories)
    return typed


def _joined(parts: list[pd.Series[Any]]) -> pd.Series[Any]:
    """Return the parts of a column, in order."""
    if isinstance(parts[0].dtype, pd.CategoricalDtype):
        filled = [_as_objects(part) for part in parts if len(part)] or parts[:1]
        union: pd.Series[Any] = pd.Series(union_categoricals(filled))
        return union
    joined: pd.Series[Any] = pd.concat(parts, ignore_index=True)
    return joined
