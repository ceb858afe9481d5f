"""Prints the tables of columns in docs/results.md: type, unit, when a cell is filled, and meaning."""

from __future__ import annotations

from collections.abc import Iterator

from bench.results.columns import COLUMNS, Column
from bench.results.schema import OWN


def lines() -> Iterator[str]:
    """Yield one heading and one table per group of columns, in Markdown."""
    for group in dict.fromkeys(column.group for column in COLUMNS):
        yield f"### {group}"
        yield ""
        yield "| column | type | unit | filled | meaning |"
        yield "|---|---|---|---|---|"
        yield from (row(column) for column in COLUMNS if column.group == group)
        yield ""


def row(column: Column) -> str:
    """Return the line of one column."""
    only_if_ok = column.measured and column.filled == "where known"
    filled: str = "where known, if ok" if only_if_ok else column.filled
    filled += " (own)" if column.name in OWN else ""
    meaning = column.meaning
    if column.name == "status":
        meaning += f": {', '.join(column.choices)}"
    cells = (f"`{column.name}`", column.type, column.unit, filled, meaning)
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


if __name__ == "__main__":
    print("\n".join(lines()).rstrip())
