"""Writes a document as Markdown, for pull requests and pages; all values are escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from bench.text.document import Block, Column, Continued, Document, Heading, Lines, Sections
from bench.text.markdown import escape_line, escape_markdown, fenced, markdown_table


def write(document: Document, stream: TextIO) -> None:
    """Write headings, tables and lists. Titles of tables are left out, because headings precede them."""
    parts = (part for block in document.blocks for part in _parts(block))
    stream.write("\n\n".join(part for part in parts if part) + "\n")


def _parts(block: Block) -> Iterator[str]:
    """Yield the parts of a block, which blank lines separate."""
    if isinstance(block, Heading):
        yield _heading(block.text, block.level)
    elif isinstance(block, Lines):
        yield from _lines(block)
    elif isinstance(block, Sections):
        for title, rows in block.sections.items():
            yield _heading(title)
            yield escape_line(block.leads.get(title, ""))
            yield _table(block.columns, [[_full(cell) for cell in row] for row in rows])
    else:
        yield _table(block.columns, block.rows) or escape_line(block.if_empty)


def _lines(block: Lines) -> Iterator[str]:
    if not block.lines:
        return
    lines = [escape_line(line) for line in block.lines]
    if block.role == "commands":
        yield fenced(block.lines, "sh")
    elif block.role == "notes":
        yield "\n".join(f"- {line}" for line in lines)
    else:
        yield from lines


def _heading(text: str, level: int = 3) -> str:
    return f"{'#' * level} {escape_markdown(text)}"


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    left = [column.align == "left" for column in columns]
    return markdown_table([column.title for column in columns], rows, left)


def _full(cell: str | Continued) -> str:
    return cell.full if isinstance(cell, Continued) else cell
