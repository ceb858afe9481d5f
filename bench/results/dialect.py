"""How other programs save the rows of a result file: what is read as if bench had written it.

Spreadsheets separate cells by semicolons or tabs where commas are decimal. pandas turns an integer
column with gaps into 16.0, polars writes +0000 for UTC, and R writes NA into empty cells.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal

from bench.results.columns import DATE, Column

# The first is the file's own; the others are what spreadsheets write where commas are decimal.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

# What programs write where a value is missing.
MISSING = ("NA", "NaN", "nan", "NULL", "null", "None", "<NA>", "NaT")

# What `load` adds to a frame, and what pandas and R add when they save one: the row numbers.
ADDED = re.compile(r"file||Unnamed: \d+")

_DECIMAL = re.compile(r"[+-]?\d*([.,])\d*([eE][+-]?\d+)?", re.ASCII)

# Three zeros are left out: 16.000 may be sixteen thousand. So is a capital E, with which spreadsheets
# write rounded numbers.
_WHOLE = re.compile(r"(-?\d+)[.,](?:00?|0{4,})", re.ASCII)
_SCIENTIFIC = re.compile(r"-?\d(\.\d+)?e\+?\d{1,3}", re.ASCII)
_UTC = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d{1,6})?\d{0,3}(?:Z|[+-]00(?::?00)?| ?UTC)", re.ASCII
)
_YEAR = re.compile(r"(\d{4})\.0", re.ASCII)


def separator_of(header: str) -> str:
    """Return what is between the titles of a result file; for any other line a comma."""
    for separator in SEPARATORS:
        if "schema_version" in [title.strip('"\r\n') for title in header.split(separator)]:
            return separator
    return ","


class Dialect:
    """The spelling of one file: translates its cells, and remembers what it had to translate.

    `missing` is the word that the file has in empty cells. Numbers have decimal points or decimal
    commas, but not both in one file: one of them then groups thousands, and 1,234 could be either.
    """

    def __init__(self) -> None:
        self.missing: str | None = None
        self.decimal_commas: tuple[int, str] | None = None  # where the first one is
        self._mark: str | None = None
        self._respelled: dict[str, None] = {}

    def learn(self, cells: Iterable[tuple[Column, str]]) -> None:
        """Learn from the first record how the file spells an empty cell.

        Columns of numbers and text are no evidence: NaN is a damaged rate, and NA may be a name. But
        every row has empty cells among its integers, because no kernel has all parameters.
        """
        for column, text in cells:
            if column.type in ("integer", "boolean", "json", "time") and text in MISSING:
                self.missing = text
                self._respelled[f"{text} in empty cells"] = None
                return

    def ignore(self, title: str) -> bool:
        """Return whether a column is one that saving a frame adds."""
        if not ADDED.fullmatch(title):
            return False
        self._respelled["a column file" if title == "file" else "row numbers"] = None
        return True

    def translate(self, line: int, column: Column, text: str) -> str:
        """Return a cell as bench writes it. Raises ValueError for an ambiguous decimal comma."""
        if not text or text == self.missing:
            return ""
        if column.type == "integer":
            return text if text.isdigit() else self._integer(text)
        if column.type == "number":
            return self._number(line, column, text)
        if column.type == "time":
            return self._time(text)
        if column.pattern == DATE and (year := _YEAR.fullmatch(text)):
            return self._instead(year[1], text)
        return text

    def _integer(self, text: str) -> str:
        if whole := _WHOLE.fullmatch(text):
            return self._instead(whole[1], "integers like 16.0")
        if _SCIENTIFIC.fullmatch(text) and math.isfinite(float(text)):
            value = Decimal(text)
            if value == value.to_integral_value():
                return self._instead(str(int(float(text))), "integers like 1e+05")
        return text

    def _number(self, line: int, column: Column, text: str) -> str:
        if text in ("Inf", "-Inf"):
            return self._instead(text.lower(), text)
        match = _DECIMAL.fullmatch(text)
        if not match:
            return text
        mark = match[1]
        if self._mark is None and mark == ",":
            self.decimal_commas = (line, column.name)
        self._mark = self._mark or mark
        if mark != self._mark:
            raise ValueError(
                f"found {text!r}, but other numbers of this file have a decimal "
                f"{'comma' if mark == '.' else 'point'}; expected the same mark in all, and nothing "
                "between thousands"
            )
        return text.replace(",", ".")

    def _time(self, text: str) -> str:
        match = None if text.endswith("Z") and "T" in text else _UTC.fullmatch(text)
        if match is None:
            return text
        return self._instead(
            f"{match[1]}T{match[2]}{match[3] or ''}Z", "times with +00:00 instead of Z"
        )

    def _instead(self, text: str, spelling: str) -> str:
        self._respelled[spelling] = None
        return text

    @property
    def respelled(self) -> str | None:
        """What another program has spelled differently, in one sentence; None if nothing."""
        if not self._respelled:
            return None
        return f"saved by another program ({', '.join(self._respelled)}); read as if by bench"
