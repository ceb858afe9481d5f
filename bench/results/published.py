"""Finds the published results that come with the harness, a file a chip."""

from __future__ import annotations

from collections.abc import Collection
from importlib import resources
from pathlib import Path

from bench.results.reader import read_rows
from bench.results.schema import Row


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
        found = read_rows(file)
        if chips is None or found[0]["chip"] in chips:
            rows += [{**row, "file": f"results/published/{file.name}"} for row in found]
    return rows
