"""Shows a document on a terminal, fitted to its width, in color if it has colors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from bench.text.document import Column, Continued, Document, Heading, Lines, Sections, Table
from bench.text.format import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

TITLE = "bold cyan"


def write(document: Document, stream: TextIO) -> None:
    """Print headings in bold, notes dimmed, and tables without lines."""
    from rich.console import Console

    console = Console(file=stream, highlight=False)
    for place, block in enumerate(document.blocks):
        if isinstance(block, Heading):
            if place:
                console.print()
            console.print(_text(block.text, "bold"))
        elif isinstance(block, Lines):
            _print_lines(block, console, stream)
        elif isinstance(block, Sections):
            _print_sections(block, console)
        else:
            _print_table(block, console)


def width_of(stream: TextIO) -> int:
    """Return the number of characters per line."""
    from rich.console import Console

    return Console(file=stream).width


def _text(text: str, style: str = "") -> Text:
    """Return styled text in which line breaks are the only control characters."""
    from rich.text import Text

    return Text("\n".join(map(printable, text.split("\n"))), style=style)


def _print_lines(block: Lines, console: Console, stream: TextIO) -> None:
    for place, line in enumerate(block.lines):
        if block.role == "plain":
            # Not through rich, which would wrap it.
            stream.write(f"{printable(line)}\n")
        elif block.role == "commands":
            console.print(_text(f"  {line}", "cyan"), soft_wrap=True)
        else:
            leads = block.role == "lead" and place == 0
            console.print(_text(line, "bold" if leads else "dim"))


def _print_table(table: Table, console: Console) -> None:
    if not table.rows and not table.if_empty:
        return
    fitting = _fitting(table.columns, console.width)
    grid = _grid([table.columns[n] for n in fitting], table.gap)
    for row in table.rows:
        grid.add_row(*(_text(row[n], table.styles.get(row[n], "")) for n in fitting))
    if table.title:
        console.print(_text(f"\n{table.title}", TITLE))
    console.print(grid)
    if not table.rows:
        console.print(_text(table.if_empty))


def _print_sections(block: Sections, console: Console) -> None:
    if not block.sections:
        return
    fitting = _fitting(block.columns, console.width)
    title_column = [Column("", "left", wraps=True)] if block.title_column else []
    grid = _grid([*title_column, *(block.columns[n] for n in fitting)])
    for title, rows in block.sections.items():
        if not block.title_column:
            grid.add_row(_text(title, TITLE))
            if lead := block.leads.get(title):
                grid.add_row(_text(lead, "bold"))
        for place, row in enumerate(rows):
            cells = [_aligned(row[n], block) for n in fitting]
            if block.title_column:
                cells.insert(0, _text(title if place == 0 else "", TITLE))
            else:
                cells[0] = _text(" ") + cells[0]
            grid.add_row(*cells)
    console.print(grid)


def _aligned(cell: str | Continued, block: Sections) -> Text:
    text = f"  {cell.rest}" if isinstance(cell, Continued) else cell
    return _text(text, block.styles.get(text, ""))


def _fitting(columns: Sequence[Column], width: int) -> list[int]:
    """Return the indices of the columns that a terminal of this width shows."""
    return [place for place, column in enumerate(columns) if width >= column.from_width]


def _grid(columns: Sequence[Column], gap: int = 1) -> RichTable:
    """Return an empty table with `gap` spaces between its columns."""
    from rich.table import Table as RichTable

    padding = (0, (gap + 1) // 2, 0, gap // 2)
    grid = RichTable(box=None, pad_edge=False, padding=padding, header_style="bold")
    for column in columns:
        grid.add_column(
            _text(column.title),
            justify=column.align,
            overflow="fold",
            no_wrap=not column.wraps,
            min_width=column.min_width,
        )
    return grid
