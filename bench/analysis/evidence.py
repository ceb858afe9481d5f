"""The rows that conclusions are drawn from, without those of simulated devices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.results.columns import Row
from bench.results.load import result_files
from bench.results.reader import read_rows
from bench.results.rows import frame_rows

if TYPE_CHECKING:
    import pandas as pd


def given_rows(paths: Iterable[str | Path], *, simulated: bool = False) -> list[Row]:
    """Return the rows of result files, folders of them and globs, each with its `file`.

    Raises UsageError where rows are of simulated devices, unless `simulated` lets them pass.
    """
    rows: list[Row] = []
    for file in result_files(list(paths)):
        file_rows = read_rows(file)
        if not simulated:
            refuse_simulated(file_rows, str(file))
        rows += [{**row, "file": str(file)} for row in file_rows]
    return rows


def rows_of_frame(frame: pd.DataFrame, name: str) -> list[Row]:
    """Return the rows of a frame from `load`. Raises UsageError, with `name`, for simulated devices."""
    rows = list(frame_rows(frame))
    refuse_simulated(rows, name)
    return rows


def refuse_simulated(rows: Sequence[Row], origin: str) -> None:
    """Raise UsageError where rows are of simulated devices."""
    count = sum(row["simulated"] is True for row in rows)
    if count:
        raise UsageError(
            f"{origin}: {count} of {len(rows)} rows are of a simulated device: they are no "
            "measurement, and nothing can be concluded from them"
        )
