"""Finds the published results that come with the harness: one file per chip."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from importlib import resources
from pathlib import Path

from bench.results.columns import Row
from bench.results.reader import open_result, rows_of, scan


def published_folder() -> Path:
    """Return where they lie: in the package, or beside it in a source tree."""
    try:
        return Path(str(resources.files("bench.published")))
    except ModuleNotFoundError:
        return Path(str(resources.files("bench"))).parent / "results" / "published"


def published_rows(chips: Collection[str] | None = None) -> list[Row]:
    """Return the published rows, of some chips or of all, with the `file` that each is from."""
    rows = []
    for file in sorted(published_folder().glob("*.csv")):
        if chips is None or _chip(file) in chips:
            rows += [{**row, "file": f"results/published/{file.name}"} for row in _rows(file)]
    return rows


@cache
def published_chips() -> frozenset[str]:
    """Return the chips with published results."""
    return frozenset(str(_chip(file)) for file in published_folder().glob("*.csv"))


def _rows(file: Path) -> list[Row]:
    """Return a file's rows, which the tests have checked."""
    with open_result(file) as stream:
        return rows_of(scan(stream, str(file), lambda problem: None), str(file))


def _chip(file: Path) -> object:
    """Return the chip of a file by its first row: most files need not be read on."""
    with open_result(file) as stream:
        _, row, _ = next(scan(stream, str(file), lambda problem: None))
    return row["chip"]
