"""Result rows for other programs: as CSV like the result file's own, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence

from bench.results.cells import escaped, format_cell, format_row
from bench.results.columns import BY_NAME, NAMES, Row
from bench.results.writer import record


def rows_as_csv(rows: Iterable[Row], names: Sequence[str] = NAMES) -> Iterator[str]:
    """Yield the lines of a CSV; with all columns it is a result file.

    No text in it is one that a spreadsheet computes.
    """
    yield record(names).decode()
    for row in rows:
        cells = format_row(row) if names is NAMES else [_cell(name, row[name]) for name in names]
        yield record(cells).decode()


def rows_as_json(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the parts of a JSON array; JSON has no infinity, so an infinite error is null."""
    before = "["
    for row in rows:
        plain = {name: _finite(value) for name, value in row.items()}
        text = json.dumps(plain, indent=2, allow_nan=False, ensure_ascii=False)
        yield f"{before}\n{text}"
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _cell(name: str, value: object) -> str:
    if name in BY_NAME:
        return format_cell(BY_NAME[name], value)
    return "" if value is None else escaped(str(value))


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
