"""Numbers as text: three significant digits, a fitting unit, `–` for unknown."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.analysis.estimate import Estimate

UNKNOWN = "–"

# Characters that move the cursor, change colors, break lines, or reverse the writing direction.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def printable(text: str) -> str:
    """Replace control characters by spaces, so that no text is a command to the terminal."""
    return _CONTROLS.sub(" ", text)


def significant(value: object, digits: int = 3) -> str:
    """Format a number with this many significant digits, without exponent unless it is tiny."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return UNKNOWN
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}" if decimals <= 6 else f"{value:.{digits - 1}e}"


def seconds(value: object) -> str:
    """Format a time with its unit: 1.23 ms."""
    if not isinstance(value, (int, float)):
        return UNKNOWN
    for size, unit in _TIMES:
        if abs(value) >= size:
            return f"{significant(value / size)} {unit}"
    return f"{significant(value / 1e-9)} ns"


def percent(value: object, digits: int = 0) -> str:
    """Format a fraction as a percentage: 0.42 → 42 %."""
    if not isinstance(value, (int, float)):
        return UNKNOWN
    return f"{100 * value:.{digits}f} %"


def duration(value: float) -> str:
    """Format a duration: 42 s, 3 min 20 s, 2 h 5 min."""
    total = round(value)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    return f"{total // 3600} h {total % 3600 // 60} min"


def with_interval(estimate: Estimate) -> str:
    """Format a value with its interval, 1.23 [1.10, 1.40], or alone if it is exact; 3,076,059 in full."""

    def digits(value: float) -> str:
        return f"{value:,.0f}" if abs(value) >= 1000 else significant(value)

    if estimate.exact:
        return digits(estimate.value)
    return f"{digits(estimate.value)} [{digits(estimate.low)}, {digits(estimate.high)}]"


def percent_with_interval(estimate: Estimate) -> str:
    """Return a share as a percentage, with its interval where it has one: 30 % [25 %, 35 %]."""

    def text(value: float) -> str:
        return f"{100 * value:.3g} %"

    if estimate.exact:
        return text(estimate.value)
    return f"{text(estimate.value)} [{text(estimate.low)}, {text(estimate.high)}]"
