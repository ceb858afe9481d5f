"""Shows a document on a terminal, as wide as it is, in color where it has colors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from bench.text.document import Column, Continued, Document, Heading, Lines, Sections, Table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

TITLE = "bold cyan"


def write(document: Document, stream: TextIO) -> None:
    """Print headings in bold, notes dimmed, and tables without lines."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False)
    for block in document.blocks:
        if isinstance(block, Heading):
            console.print(Text(block.text, style="bold"))
        elif isinstance(block, Lines):
            _print_lines(block, console, stream)
        elif isinstance(block, Sections):
            _print_sections(block, console)
        else:
            _print_table(block, console)


def width_of(stream: TextIO) -> int:
    """Return the characters of a line."""
    from rich.console import Console

    return Console(file=stream).width


def _print_lines(block: Lines, console: Console, stream: TextIO) -> None:
    from rich.text import Text

    if block.role == "plain":
        # Not through rich, which would wrap them: other programs may read these lines.
        stream.writelines(f"{line}\n" for line in block.lines)
        return
    for place, line in enumerate(block.lines):
        leads = block.role == "lead" and place == 0
        console.print(Text(line, style="bold" if leads else "dim"))


def _print_table(table: Table, console: Console) -> None:
    from rich.text import Text

    if not table.rows and not table.if_empty:
        return
    chosen = _with_room(table.columns, console.width)
    shown = _grid([table.columns[n] for n in chosen], table.gap)
    for row in table.rows:
        shown.add_row(*(Text(row[n], style=table.styles.get(row[n], "")) for n in chosen))
    if table.title:
        console.print(Text(f"\n{table.title}", style=TITLE))
    console.print(shown)
    if not table.rows:
        console.print(table.if_empty)


def _print_sections(block: Sections, console: Console) -> None:
    from rich.text import Text

    if not block.sections:
        return
    chosen = _with_room(block.columns, console.width)
    columns = [block.columns[n] for n in chosen]
    before = [Column("", "left", wraps=True)] if block.title_column else []
    shown = _grid([*before, *columns])
    for title, rows in block.sections.items():
        heading = Text(title, style=TITLE)
        if not block.title_column:
            shown.add_row(heading)
        for place, row in enumerate(rows):
            texts = [_aligned(row[n]) for n in chosen]
            if not block.title_column:
                texts[0] = f" {texts[0]}"
            cells = [Text(text, style=block.styles.get(text, "")) for text in texts]
            first = [heading if place == 0 else Text()] if block.title_column else []
            shown.add_row(*first, *cells)
    console.print(shown)


def _aligned(cell: str | Continued) -> str:
    return f"  {cell.rest}" if isinstance(cell, Continued) else cell


def _with_room(columns: Sequence[Column], width: int) -> list[int]:
    """Return the places of the columns that a terminal of this width shows."""
    return [place for place, column in enumerate(columns) if width >= column.from_width]


def _grid(columns: Sequence[Column], gap: int = 1) -> RichTable:
    """Return an empty table with `gap` spaces between its columns."""
    from rich.table import Table as RichTable

    padding = (0, (gap + 1) // 2, 0, gap // 2)
    grid = RichTable(box=None, pad_edge=False, padding=padding, header_style="bold")
    for column in columns:
        grid.add_column(
            column.title,
            justify=column.align,
            overflow="fold",
            no_wrap=not column.wraps,
            min_width=column.min_width,
        )
    return grid
