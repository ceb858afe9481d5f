"""Reads the result files that a command draws conclusions from, and refuses what is no evidence."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.errors import UsageError
from bench.results.load import result_files
from bench.results.reader import read_rows
from bench.results.schema import Row


def given_rows(paths: Iterable[str | Path], *, simulated: bool = False) -> list[Row]:
    """Return the rows of result files, folders of them and globs, each with its `file`.

    Raises UsageError where rows are of simulated devices, unless `simulated` lets them pass.
    """
    rows: list[Row] = []
    for file in result_files(list(paths)):
        found = read_rows(file)
        count = sum(row["simulated"] is True for row in found)
        if count and not simulated:
            raise UsageError(
                f"{file}: {count} of {len(found)} rows are of a simulated device: they are no "
                "measurement, and nothing can be concluded from them"
            )
        rows += [{**row, "file": str(file)} for row in found]
    return rows
