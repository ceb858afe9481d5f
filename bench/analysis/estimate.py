"""Numbers with an interval, and arithmetic that propagates it.

Interval arithmetic (Moore 1966): the result contains every value that the operands can give together.
Where one quantity occurs twice, the interval is wider than it has to be, never narrower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.errors import UsageError

# A result beyond this is a mistake in a formula, not a quantity.
LARGEST = 1e100


class Impossible(UsageError, ValueError):
    """An operation without a result, such as a division by what may be zero."""


@dataclass(frozen=True)
class Estimate:
    """A value and its bounds, which equal the value where no interval is known."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(abs(bound) < LARGEST for bound in (self.low, self.value, self.high)):
            raise Impossible(
                f"a result of {self.value:g} is outside of ±{LARGEST:g}: check the inputs"
            )

    @property
    def exact(self) -> bool:
        """Whether no interval is known."""
        return self.low == self.high

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.value + other.value, self.low + other.low, self.high + other.high)

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.low - other.high, self.high - other.low)

    def __mul__(self, other: Estimate) -> Estimate:
        return self._corners(other, lambda a, b: a * b)

    def __truediv__(self, other: Estimate) -> Estimate:
        if other.low <= 0 <= other.high:
            raise Impossible("division by zero")
        return self._corners(other, lambda a, b: a / b)

    def __neg__(self) -> Estimate:
        return Estimate(-self.value, -self.high, -self.low)

    def __abs__(self) -> Estimate:
        ends = sorted((abs(self.low), abs(self.high)))
        return Estimate(abs(self.value), 0.0 if self.low < 0 < self.high else ends[0], ends[1])

    def power(self, exponent: float) -> Estimate:
        """Return self ** exponent; a negative number has whole powers only."""
        if self.low <= 0 and (exponent < 0 or exponent != int(exponent)):
            raise Impossible(f"{self.low:g} has no power {exponent:g}")
        try:
            ends = [self.value**exponent, self.low**exponent, self.high**exponent]
        except OverflowError:
            raise Impossible("the result is too large") from None
        low = 0.0 if self.low < 0 < self.high and exponent % 2 == 0 else min(ends)
        return Estimate(ends[0], low, max(ends))

    def log2(self) -> Estimate:
        """Return the binary logarithm."""
        if self.low <= 0:
            raise Impossible(f"{self.low:g} has no logarithm")
        return Estimate(math.log2(self.value), math.log2(self.low), math.log2(self.high))

    def _corners(self, other: Estimate, operation: Callable[[float, float], float]) -> Estimate:
        ends = [operation(a, b) for a in (self.low, self.high) for b in (other.low, other.high)]
        return Estimate(operation(self.value, other.value), min(ends), max(ends))


def exactly(value: float) -> Estimate:
    """Return a number without an interval."""
    return Estimate(float(value), float(value), float(value))


def smallest(estimates: Iterable[Estimate]) -> Estimate:
    """Return the minimum."""
    every = list(estimates)
    return Estimate(
        min(e.value for e in every), min(e.low for e in every), min(e.high for e in every)
    )


def largest(estimates: Iterable[Estimate]) -> Estimate:
    """Return the maximum."""
    every = list(estimates)
    return Estimate(
        max(e.value for e in every), max(e.low for e in every), max(e.high for e in every)
    )
