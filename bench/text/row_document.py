"""Result rows as a document: blocks for people, and every column and digit as CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bench.results.columns import NAMES, Row
from bench.text.document import Block, Document


def row_document(
    rows: Iterable[Row], blocks: Iterable[Block], names: Sequence[str] = NAMES
) -> Document:
    """Return a document whose CSV has the named columns; with all of them it is a result file."""
    return Document(blocks=blocks, records=_records(rows, names), data=lambda: list(rows))


def _records(rows: Iterable[Row], names: Sequence[str]) -> Iterator[Sequence[object]]:
    yield names
    for row in rows:
        yield [row[name] for name in names]
