"""Numbers that users give, as estimates: one number or LOW..HIGH, within what such a quantity can be."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

from bench.analysis.estimate import Estimate
from bench.errors import UsageError


class Range(NamedTuple):
    """The least and the most that a quantity can be; what lies outside is a typing error."""

    least: float
    most: float


USD_PER_HOUR = Range(1e-3, 1e6)
USD_PER_KWH = Range(1e-4, 1e3)
SHARE = Range(1e-4, 1.0)
TOKENS = Range(1.0, 1e18)
DAYS = Range(1e-3, 1e6)
PUBLISHED = Range(1e-3, 1e18)

# Chips of a deployment. Tokens, widths and bytes of a projection.
CHIPS = Range(1, 10**7)
SIZE = Range(1, 10**9)

# An error message quotes at most so many characters of a value.
QUOTED = 40


def parse_estimate(text: str, option: str, allowed: Range) -> Estimate:
    """Parse a number, or LOW..HIGH with its midpoint as the value. Raises UsageError naming the option."""
    parts = text.strip().split("..")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        message = f"{option}: expected a number, or LOW..HIGH, got {_quoted(text)}"
        raise UsageError(message) from None
    for number in numbers:
        check_range(number, option, allowed, text)
    if len(numbers) > 2 or numbers[0] > numbers[-1]:
        raise UsageError(f"{option}: expected LOW..HIGH, got {_quoted(text)}")
    return Estimate(sum(numbers) / len(numbers), numbers[0], numbers[-1])


def parse_number(text: str, option: str, allowed: Range) -> float:
    """Parse a number without an interval. Raises UsageError naming the option."""
    try:
        number = float(text)
    except ValueError:
        raise UsageError(f"{option}: expected a number, got {_quoted(text)}") from None
    check_range(number, option, allowed, text)
    return number


def check_range(number: float, option: str, allowed: Range, text: str | None = None) -> None:
    """Raise UsageError for a number outside of a range; not-a-number is outside of all."""
    if not allowed.least <= number <= allowed.most:
        bounds = f"from {allowed.least:g} to {allowed.most:g}"
        given = _quoted(number if text is None else text)
        raise UsageError(f"{option}: expected a number {bounds}, got {given}")


def check_count(count: object, option: str, allowed: Range) -> None:
    """Raise UsageError for what is no whole number in a range."""
    whole = isinstance(count, Integral) and not isinstance(count, bool)
    if whole and allowed.least <= count <= allowed.most:  # type: ignore[operator]
        return
    bounds = f"from {allowed.least:.0f} to {allowed.most:.0f}"
    raise UsageError(f"{option}: expected a whole number {bounds}, got {_quoted(count)}")


def _quoted(value: object) -> str:
    """Return a value as an error message shows it, shortened where nobody would read it all."""
    try:
        text = str(value)
    except ValueError:
        return "a number of several thousand digits"
    return repr(text if len(text) <= QUOTED else f"{text[:QUOTED]}…")
