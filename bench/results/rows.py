"""Rows of a frame as the reader gives them: the way back from `load`, for what shows or writes rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.results.columns import BY_NAME, Row

if TYPE_CHECKING:
    import pandas as pd

# Rows that are there as objects at once.
CHUNK = 1 << 14


def frame_rows(frame: pd.DataFrame) -> Iterator[Row]:
    """Yield each row of a frame from `load` by column, None where unknown.

    Of integers beyond 2**53, which only `flops` and `bytes` can be, the nearest float is left.
    """
    for start in range(0, len(frame), CHUNK):
        part = frame.iloc[start : start + CHUNK]
        columns = {str(name): column_values(part[name]) for name in part.columns}
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))


def column_values(cells: pd.Series[Any]) -> list[Any]:
    """Return the values of a column, None where unknown."""
    column = BY_NAME.get(str(cells.name))
    known = cells.notna().tolist()
    values = cells.astype(object).tolist()
    if column is not None and column.type == "time":
        convert: Any = _time_text
    elif column is not None and column.type == "integer":
        convert = int
    elif column is not None and column.type == "boolean":
        convert = bool
    else:
        return [value if there else None for value, there in zip(values, known, strict=True)]
    return [convert(value) if there else None for value, there in zip(values, known, strict=True)]


def _time_text(time: Any) -> str:
    spec = "microseconds" if time.microsecond % 1000 else "milliseconds"
    text: str = time.isoformat(timespec=spec)
    return text.replace("+00:00", "Z")
