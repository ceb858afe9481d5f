"""Reads the result files that a command draws conclusions from, and refuses what is no evidence."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.errors import UsageError
from bench.results.reader import read_rows
from bench.results.schema import Row


def given_rows(paths: Iterable[str | Path], *, simulated: bool = False) -> list[Row]:
    """Return the rows of result files and folders of them, each with its `file`.

    Raises UsageError where rows are of simulated devices, unless `simulated` lets them pass.
    """
    rows: list[Row] = []
    for path in map(Path, paths):
        files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
        if not files:
            raise UsageError(f"{path}: no .csv file in this folder")
        for file in files:
            found = read_rows(file)
            count = sum(row["simulated"] is True for row in found)
            if count and not simulated:
                raise UsageError(
                    f"{file}: {count} of {len(found)} rows are of a simulated device: they are no "
                    "measurement, and nothing can be concluded from them"
                )
            rows += [{**row, "file": str(file)} for row in found]
    return rows
