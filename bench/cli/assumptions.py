"""The table of what a cost or a projection assumes."""

from __future__ import annotations

from collections.abc import Sequence

from bench.text.document import Table, TableColumn

COLUMNS = (TableColumn("about", "left"), TableColumn("assumed", "left", wraps=True, min_width=30))


def assumption_table(assumptions: Sequence[tuple[str, str]]) -> Table:
    """Return one row per assumption: what it is about, and a sentence."""
    return Table(COLUMNS, assumptions)
