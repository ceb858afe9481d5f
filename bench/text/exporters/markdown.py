"""Writes a document as Markdown for a pull request, whatever the texts in it are."""

from __future__ import annotations

from typing import TextIO

from bench.text.document import Block, Document, Heading, Lines
from bench.text.markdown import escape_markdown, markdown_table


def write(document: Document, stream: TextIO) -> None:
    """Write headings, tables, and notes as lists. Headings suffice, so titles of tables are left out."""
    parts = [_part(block) for block in document.blocks]
    stream.write("\n\n".join(part for part in parts if part) + "\n")


def _part(block: Block) -> str:
    if isinstance(block, Heading):
        return f"### {escape_markdown(block.text)}"
    if isinstance(block, Lines):
        mark = "- " if block.notes else ""
        return "\n".join(f"{mark}{escape_markdown(line)}" for line in block.lines)
    left = [place for place, column in enumerate(block.columns) if column.align == "left"]
    return markdown_table([column.title for column in block.columns], block.rows, left)
