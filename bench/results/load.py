"""Loads result files into one data frame, a million rows in seconds.

pandas' own parser reads the cells; each column is then checked as a whole. Only where that finds
something wrong is the file read again line by line, to say where it is and what was expected.
"""

from __future__ import annotations

import glob
import io
import re
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.results.cells import unescaped
from bench.results.reader import (
    CUT_OFF,
    Problem,
    is_result_file,
    open_result,
    read_header,
    rows_of,
)
from bench.results.schema import BY_NAME, COLUMNS, OWN, SCHEMA_VERSION, Column

if TYPE_CHECKING:
    import pandas as pd

# Texts that repeat from row to row are kept once.
REPEATED_TEXTS = ("text", "json")

# So much of a file at a time is in memory as text.
CHUNK_ROWS = 100_000

Paths = Path | str | Iterable[Path | str]


def load(paths: Paths, columns: Collection[str] | None = None) -> pd.DataFrame:
    """Return the rows of files, of the result files in folders, and of globs, as one data frame.

    Its columns are those of docs/results.md (or of them the given ones), and `file`. Unknown is NaN
    in numbers and missing elsewhere; integers are Int64, but `flops`, `bytes` and `weight_bytes`,
    which may not fit, float64; texts are categories; times have a time zone.

    Raises UsageError naming file, line and column of what is wrong. A last line that was cut off is
    left out with a warning, as are files in folders that are no result files.
    """
    import pandas as pd

    wanted = [column for column in COLUMNS if columns is None or column.name in columns]
    frames = []
    for path in result_files(paths):
        frame = _load_file(path, wanted)
        frame["file"] = pd.Series([str(path)] * len(frame), dtype="str").astype("category")
        frames.append(frame)
    return concatenate(frames)


def concatenate(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return frames below each other; texts stay categories."""
    import pandas as pd
    from pandas.api.types import union_categoricals

    frames = list(frames)
    if len(frames) == 1:
        return frames[0]
    joined: dict[str, Any] = {}
    for name in frames[0].columns:
        parts = [frame[name] for frame in frames]
        if isinstance(parts[0].dtype, pd.CategoricalDtype):
            joined[name] = union_categoricals(parts)
        else:
            joined[name] = pd.concat(parts, ignore_index=True)
    frame: pd.DataFrame = pd.DataFrame(joined)
    return frame


def result_files(paths: Paths) -> list[Path]:
    """Return the files that paths, folders and globs stand for, each once, in order."""
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    found: dict[Path, None] = {}
    for path in given:
        for file in _expand(Path(path)):
            found.setdefault(file)
    if not found:
        raise UsageError("no result files: name some, or a folder of them")
    return list(found)


def _expand(path: Path) -> list[Path]:
    if path.is_dir():
        there = sorted(path.glob("*.csv"))
        files = [file for file in there if is_result_file(file)]
        for other in sorted(set(there) - set(files)):
            warnings.warn(f"{other}: not a result file; left out", stacklevel=4)
        if not files:
            what = f"none of the {len(there)} CSV files" if there else "no .csv file"
            raise UsageError(f"{path}: {what} in this folder is a result file")
        return files
    if any(mark in str(path) for mark in "*?[") and not path.exists():
        files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - may begin with /
        if not files:
            raise UsageError(f"{path}: no file matches")
        return files
    return [path]


def _load_file(path: Path, wanted: list[Column]) -> pd.DataFrame:
    def warn(problem: Problem) -> None:
        warnings.warn(f"{path}: {problem}", stacklevel=5)

    with open_result(path) as stream:
        header = read_header(stream, str(path))
        tail = _cut_off_tail(stream)
    frame = _parse(path, header, wanted, len(tail))
    if frame is None:
        # Something is wrong somewhere: this raises, saying what, or finds that it can be read.
        with open_result(path) as stream:
            return _from_rows(rows_of(stream, str(path), warn), wanted)
    if tail:
        with open_result(path) as stream:
            text = stream.readline() + tail
        rows = rows_of(io.BytesIO(text), str(path), lambda problem: None)
        if not rows:
            line = len(frame) + 2
            warn(Problem(line, None, CUT_OFF))
        else:
            frame = concatenate([frame, _from_rows(rows, wanted)])
    return frame


def _cut_off_tail(stream: io.BufferedIOBase | Any) -> bytes:
    """Return what stands after the last line break: a line that was cut off, or lacks its end."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - (1 << 20)))
    end = stream.read()
    return end[end.rfind(b"\n") + 1 :] if b"\n" in end else b""


def _parse(path: Path, header: list[str], wanted: list[Column], tail: int) -> pd.DataFrame | None:
    """Return the whole lines of a file, None where anything in them is not as it should be."""
    import pandas as pd

    there = [column for column in wanted if column.name in header]
    needed = [column.name for column in there]
    checked = "schema_version"
    try:
        with path.open("rb") as stream:
            whole = _Whole(stream, path.stat().st_size - tail)
            chunks = pd.read_csv(
                whole,
                usecols=sorted({*needed, checked}),
                dtype={name: _parsed_dtype(BY_NAME[name]) for name in {*needed, checked}},
                na_values={name: [""] for name in {*needed, checked}},
                keep_default_na=False,
                encoding="utf-8-sig",
                chunksize=CHUNK_ROWS,
                on_bad_lines="error",
                true_values=["true", "TRUE", "True"],
                false_values=["false", "FALSE", "False"],
            )
            frames = []
            for chunk in chunks:
                if chunk.index.dtype.kind not in "iu":
                    return None  # lines longer than the header: pandas takes cells for an index
                frame = _checked(chunk, wanted)
                if frame is None:
                    return None
                frames.append(frame)
    except (ValueError, OverflowError, pd.errors.ParserError, UnicodeDecodeError):
        return None
    return concatenate(frames) if frames else None


class _Whole(io.RawIOBase):
    """A stream that ends where the last whole line does."""

    def __init__(self, stream: Any, size: int) -> None:
        self._stream = stream
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        data: bytes = self._stream.read(size)
        self._left -= len(data)
        return data


def _parsed_dtype(column: Column) -> str:
    if column.type in ("integer", "number"):
        return "float64"
    return "boolean" if column.type == "boolean" else "str"


def _checked(chunk: pd.DataFrame, wanted: list[Column]) -> pd.DataFrame | None:
    """Return a chunk in the columns' types, None if a cell is out of its column's bounds."""
    import numpy as np
    import pandas as pd

    if not (chunk["schema_version"] == SCHEMA_VERSION).all():
        return None
    series: dict[str, Any] = {}
    for column in wanted:
        if column.name not in chunk:
            series[column.name] = _empty(column, len(chunk))
            continue
        values = chunk[column.name]
        if column.filled == "always" and column.name not in OWN and values.isna().any():
            return None
        if column.type in ("integer", "number"):
            known = values.to_numpy()[values.notna().to_numpy()]
            if not column.infinite and not np.isfinite(known).all():
                return None
            if column.minimum is not None and (known < column.minimum).any():
                return None
            if column.above is not None and (known <= column.above).any():
                return None
            if column.type == "integer" and not column.wide:
                if (known != np.floor(known)).any() or (np.abs(known) >= 2**53).any():
                    return None
                values = values.astype("Int64")
        elif column.type == "boolean":
            pass
        elif column.type == "time":
            values = pd.to_datetime(values, utc=True, format="ISO8601").astype(
                "datetime64[us, UTC]"
            )
        else:
            texts = _texts(column, values)
            if texts is None:
                return None
            values = texts
        series[column.name] = values.reset_index(drop=True)
    frame: pd.DataFrame = pd.DataFrame(series)
    return frame


def _texts(column: Column, values: pd.Series[Any]) -> pd.Series[Any] | None:
    """Return texts as categories, each looked at once; None if one is not as it should be."""
    found = values.astype("category")
    texts = list(found.cat.categories)
    if column.choices and not set(texts) <= set(column.choices):
        return None
    if column.pattern and not all(re.fullmatch(column.pattern, text, re.ASCII) for text in texts):
        return None
    meant = {text: unescaped(text) for text in texts}
    if any(text != value for text, value in meant.items()):
        return found.map(meant).astype("category")
    return found


def _empty(column: Column, length: int) -> pd.Series[Any]:
    return _series(column, [None] * length)


def _from_rows(rows: list[dict[str, object]], wanted: list[Column]) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = pd.DataFrame(
        {column.name: _series(column, [row[column.name] for row in rows]) for column in wanted}
    )
    return frame


def _series(column: Column, values: list[object]) -> pd.Series[Any]:
    import pandas as pd

    if column.type == "time":
        times = pd.to_datetime(pd.Series(values, dtype="object"), utc=True, format="ISO8601")
        return times.astype("datetime64[us, UTC]")
    if column.type in REPEATED_TEXTS:
        return pd.Series(values, dtype="str").astype("category")
    dtype = {"integer": "Int64", "number": "float64", "boolean": "boolean"}[column.type]
    return pd.Series(values, dtype="float64" if column.wide else dtype)
