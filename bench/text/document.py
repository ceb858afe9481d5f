"""The output of a command before a format is chosen: headings, tables, lines, and plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, its alignment, and its behavior on a terminal.

    Columns that wrap give way if a line is too narrow, down to `min_width` characters. The column is
    left out on terminals narrower than `from_width`.
    """

    title: str
    align: Literal["left", "right"] = "right"
    wraps: bool = False
    min_width: int | None = None
    from_width: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of text under a title.

    `styles` maps the text of a cell to its terminal style, `gap` is the number of spaces between
    columns. A table without rows is left out, unless it has a text `if_empty`.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    title: str = ""
    styles: Mapping[str, str] = field(default_factory=dict)
    gap: int = 1
    if_empty: str = ""


@dataclass(frozen=True)
class Continued:
    """A cell that continues the one above: `full` stands alone, `rest` suffices if both are aligned."""

    full: str
    rest: str


@dataclass(frozen=True)
class Sections:
    """Rows under titles, with the same columns: one table on a terminal, one per section in Markdown.

    On a terminal a title has a line of its own, or with `title_column` a column before the others.
    `leads` has an introduction by title, below titles that have a line of their own.
    """

    columns: Sequence[Column]
    sections: Mapping[str, Sequence[Sequence[str | Continued]]]
    title_column: bool = False
    styles: Mapping[str, str] = field(default_factory=dict)
    leads: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Heading:
    """A title above the blocks that follow; level 2 is the highest, as in Markdown."""

    text: str
    level: int = 3


@dataclass(frozen=True)
class Lines:
    """Lines of text.

    plain     unchanged, because other programs may read them
    lead      an introduction whose first line is emphasized
    notes     remarks at the end, a list in Markdown
    commands  for a shell, to be copied
    """

    lines: Sequence[str]
    role: Literal["plain", "lead", "notes", "commands"] = "plain"


Block: TypeAlias = Heading | Table | Sections | Lines


@dataclass(frozen=True)
class Document:
    """The output of a command in all formats; each is computed only if it is exported.

    Tables and Markdown are made of the `blocks`, CSV of the `records` (the column names first), JSON of
    the `data`, which must consist of JSON's types.
    """

    blocks: Iterable[Block] = ()
    records: Iterable[Sequence[object]] = ()
    data: Callable[[], object] = dict
