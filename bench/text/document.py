"""What a command has to say, before a format is chosen: headings, tables, lines, and plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, its alignment, and how it behaves on a terminal.

    Columns that wrap give way where a line is too narrow, down to `min_width` characters. Terminals with
    fewer columns than `from_width` go without this one.
    """

    title: str
    align: Literal["left", "right"] = "right"
    wraps: bool = False
    min_width: int | None = None
    from_width: int = 0


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
class Continued:
    """A cell about the same thing as the one above it; where they are aligned, `rest` says enough."""

    full: str
    rest: str


@dataclass(frozen=True)
class Sections:
    """Rows under titles, with the same columns throughout: one table on a terminal, several in Markdown.

    On a terminal a title has a line of its own, or with `title_column` a column before the others.
    """

    columns: Sequence[Column]
    sections: Mapping[str, Sequence[Sequence[str | Continued]]]
    title_column: bool = False
    styles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Heading:
    """A sentence above what belongs to it."""

    text: str


@dataclass(frozen=True)
class Lines:
    """Lines of text: as they are, as a lead whose first line counts most, or as notes at the end."""

    lines: Sequence[str]
    role: Literal["plain", "lead", "notes"] = "plain"


Block: TypeAlias = Heading | Table | Sections | Lines


@dataclass(frozen=True)
class Document:
    """An answer in all formats; each is computed only if it is exported.

    People read the `blocks`. Spreadsheets get the `records`, the column names first. Programs get the
    `data`, which must consist of what JSON knows.
    """

    blocks: Iterable[Block] = ()
    records: Iterable[Sequence[object]] = ()
    data: Callable[[], object] = dict
