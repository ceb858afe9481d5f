"""A column of a result file: name, type, unit, bounds, and when a cell is filled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

# Raised when a column goes or changes its meaning. A column that is added is `late`: older files lack it.
SCHEMA_VERSION = 1

Row = dict[str, object]  # one value per column, None where unknown

Type = Literal["text", "json", "time", "integer", "number", "boolean"]
Filled = Literal["always", "if ok", "if not ok", "where known"]
Combine = Literal["mean", "maximum", "sum", "texts"]

SHA256 = "[0-9a-f]{64}"
DATE = r"\d{4}(-\d\d(-\d\d)?)?"  # ISO 8601, to the day, the month or the year
POSITIVE = r"\d+(\.\d+)?(e[-+]?\d+)?"
UTC = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z"  # ISO 8601


@dataclass(frozen=True)
class Column:
    """One column.

    `filled` says in which rows the cell is never empty; a `measured` cell is empty unless the
    status is ok. Numbers are finite, except in `infinite` columns, and at least `minimum` or more than
    `above`; integers have 64 bits, unless `wide`. A `parameter` repeats a parameter of the kernel. A
    file may lack a `late` column; its cells count as empty. `combine` says how the values of several visits
    become one: `texts` joins what differs.
    """

    name: str
    type: Type
    meaning: str
    filled: Filled = "where known"
    unit: str = ""
    minimum: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    measured: bool = False
    parameter: bool = False
    infinite: bool = False
    wide: bool = False
    late: bool = False
    combine: Combine = "mean"
    group: str = ""

    def combined(self, values: Iterable[Any]) -> Any:
        """Return one value for those of several visits, None where none has one."""
        known = [value for value in values if value not in (None, "")]
        if not known:
            return None
        if self.combine == "texts":
            return "; ".join(dict.fromkeys(part for text in known for part in text.split("; ")))
        if self.combine == "mean":
            return sum(known) / len(known)
        return max(known) if self.combine == "maximum" else sum(known)


def group(name: str, *columns: Column) -> tuple[Column, ...]:
    """Put columns under a heading of the documentation."""
    return tuple(replace(column, group=name) for column in columns)


def size(name: str, meaning: str, unit: str = "", minimum: int = 1) -> Column:
    """Declare a size among the kernel's parameters."""
    return Column(name, "integer", meaning, unit=unit, minimum=minimum, parameter=True)


def option(name: str, meaning: str, **more: Any) -> Column:
    """Declare a choice among the kernel's parameters."""
    return Column(name, "text", meaning, parameter=True, **more)


def time(name: str, meaning: str, **more: Any) -> Column:
    """Declare a measured time in seconds."""
    return Column(name, "number", meaning, unit="s", measured=True, **more)


def count(name: str, meaning: str, minimum: int = 1) -> Column:
    """Declare a number of samples, rounds or other repetitions."""
    return Column(name, "integer", meaning, "if ok", minimum=minimum, measured=True)


def rate(name: str, meaning: str, **more: Any) -> Column:
    """Declare a rate, or a fraction of one."""
    return Column(name, "number", meaning, above=0, **more)
