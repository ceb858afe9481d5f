"""How numbers are shown to people: three significant digits, the fitting unit, `–` for unknown."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.analysis.estimate import Estimate

UNKNOWN = "–"

# What moves the cursor, changes colours, breaks lines, or turns the direction of writing around.
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def printable(text: str) -> str:
    """Return a text in which nothing is a command to the terminal: controls are spaces."""
    return _COMMANDS.sub(" ", text)


def significant(value: object, digits: int = 3) -> str:
    """Return a number with so many significant digits, without exponent for everyday sizes."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return UNKNOWN
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}" if decimals <= 6 else f"{value:.{digits - 1}e}"


def seconds(value: object) -> str:
    """Return a time with its unit: 1.23 ms."""
    if not isinstance(value, (int, float)):
        return UNKNOWN
    for size, unit in _TIMES:
        if abs(value) >= size:
            return f"{significant(value / size)} {unit}"
    return f"{significant(value / 1e-9)} ns"


def percent(value: object, digits: int = 0) -> str:
    """Return a fraction as a percentage: 0.42 → 42 %."""
    if not isinstance(value, (int, float)):
        return UNKNOWN
    return f"{100 * value:.{digits}f} %"


def duration(value: float) -> str:
    """Return a span of time for people who wait: 42 s, 3 min 20 s, 2 h 5 min."""
    total = round(value)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    return f"{total // 3600} h {total % 3600 // 60} min"


def with_interval(estimate: Estimate) -> str:
    """Return a value, and where it has one its interval: 1.23 [1.10, 1.40]; 3,076,059 in full."""

    def said(value: float) -> str:
        return f"{value:,.0f}" if abs(value) >= 1000 else significant(value)

    if estimate.exact:
        return said(estimate.value)
    return f"{said(estimate.value)} [{said(estimate.low)}, {said(estimate.high)}]"


def percent_with_interval(estimate: Estimate) -> str:
    """Return a share as a percentage, with its interval where it has one: 30 % [25 %, 35 %]."""

    def text(value: float) -> str:
        return f"{100 * value:.3g} %"

    if estimate.exact:
        return text(estimate.value)
    return f"{text(estimate.value)} [{text(estimate.low)}, {text(estimate.high)}]"
