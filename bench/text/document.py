"""What a command has to say, before a format is chosen: headings, tables, lines, and plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, its alignment, and how it behaves on a terminal.

    Columns that wrap give way where a line is too narrow, down to `min_width` characters. `optional` columns
    are left out on narrow terminals.
    """

    title: str
    align: Literal["left", "right"] = "right"
    wraps: bool = False
    min_width: int | None = None
    optional: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of text under a title.

    `styles` are the terminal styles of cells with a certain text, `gap` the spaces between columns. A table
    without rows is left out, unless `if_empty` has something to say instead.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    title: str = ""
    styles: Mapping[str, str] = field(default_factory=dict)
    gap: int = 1
    if_empty: str = ""


@dataclass(frozen=True)
class Heading:
    """A sentence above what belongs to it."""

    text: str


@dataclass(frozen=True)
class Lines:
    """Lines of text as they are; notes explain what stands above them."""

    lines: Sequence[str]
    notes: bool = False


Block: TypeAlias = Heading | Table | Lines


@dataclass(frozen=True)
class Document:
    """An answer in all formats; each is computed only if it is exported.

    People read the `blocks`. Spreadsheets get the `records`, the column names first. Programs get the
    `data`, which must consist of what JSON knows.
    """

    blocks: Iterable[Block] = ()
    records: Iterable[Sequence[object]] = ()
    data: Callable[[], object] = dict
