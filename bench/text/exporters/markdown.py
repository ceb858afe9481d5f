"""Writes a document as Markdown for a pull request, whatever the texts in it are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from bench.text.document import Block, Column, Continued, Document, Heading, Lines, Sections
from bench.text.markdown import escape_markdown, markdown_table


def write(document: Document, stream: TextIO) -> None:
    """Write headings, tables, and notes as lists. Headings suffice, so titles of tables are left out."""
    parts = (part for block in document.blocks for part in _parts(block))
    stream.write("\n\n".join(part for part in parts if part) + "\n")


def _parts(block: Block) -> Iterator[str]:
    """Yield what blank lines separate."""
    if isinstance(block, Heading):
        yield _heading(block.text)
    elif isinstance(block, Lines):
        lines = [escape_markdown(line) for line in block.lines]
        if block.role == "notes":
            yield "\n".join(f"- {line}" for line in lines)
        else:
            yield from lines
    elif isinstance(block, Sections):
        for title, rows in block.sections.items():
            yield _heading(title)
            yield _table(block.columns, [[_full(cell) for cell in row] for row in rows])
    else:
        yield _table(block.columns, block.rows)


def _heading(text: str) -> str:
    return f"### {escape_markdown(text)}"


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    return markdown_table([column.title for column in columns], rows)


def _full(cell: str | Continued) -> str:
    return cell.full if isinstance(cell, Continued) else cell
