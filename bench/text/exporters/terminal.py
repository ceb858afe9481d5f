"""Shows a document on a terminal, as wide as it is, in color where it has colors."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from bench.text.document import Document, Heading, Lines, Table

if TYPE_CHECKING:
    from rich.console import Console

# Terminals with fewer columns go without the optional columns of tables.
WIDE = 100


def write(document: Document, stream: TextIO) -> None:
    """Print headings in bold, notes dimmed, and tables without lines."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False)
    for block in document.blocks:
        if isinstance(block, Heading):
            console.print(Text(block.text, style="bold"))
        elif isinstance(block, Lines) and block.notes:
            for line in block.lines:
                console.print(Text(line, style="dim"))
        elif isinstance(block, Lines):
            # Not through rich, which would wrap them: other programs may read these lines.
            stream.writelines(f"{line}\n" for line in block.lines)
        else:
            _print_table(block, console)


def _print_table(table: Table, console: Console) -> None:
    from rich import table as rich_table
    from rich.text import Text

    if not table.rows and not table.if_empty:
        return
    narrow = console.width < WIDE
    chosen = [n for n, column in enumerate(table.columns) if not (narrow and column.optional)]
    right, left = (table.gap + 1) // 2, table.gap // 2
    shown = rich_table.Table(
        box=None, pad_edge=False, padding=(0, right, 0, left), header_style="bold"
    )
    for column in (table.columns[n] for n in chosen):
        shown.add_column(
            column.title,
            justify=column.align,
            overflow="fold",
            no_wrap=not column.wraps,
            min_width=column.min_width,
        )
    for row in table.rows:
        shown.add_row(*(Text(row[n], style=table.styles.get(row[n], "")) for n in chosen))
    if table.title:
        console.print(Text(f"\n{table.title}", style="bold cyan"))
    console.print(shown)
    if not table.rows:
        console.print(table.if_empty)
