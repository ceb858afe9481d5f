"""A guided search for the shape of a matrix product that a device computes at the highest rate.

Squares that double show where the rate saturates; from the best shapes so far, one dimension at a time
is changed, first by factors of two, then of √2. That is a pattern search (Hooke & Jeeves, 1961) over the
logarithms of m, n and k, in which the rate of a device has one broad plateau with steps. It goes on from
several shapes, not from the best alone: trials are short, and on a plateau the best one is best by luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

Layout = Literal["nt", "nn"]

FIRST_SQUARE = 512
MULTIPLE = 64  # every dimension is a multiple of this
STEPS = (2.0, 2.0**0.5)

# The search goes on from this many of the fastest shapes. Of landscapes recorded on a CPU, the worst of
# 60 searches found 0.91 of the highest rate with one, 0.96 with four, and no more with eight.
BEAM = 4

# Squares grow until one reaches less than this share of the best rate: the plateau is behind it.
PAST_THE_BEST = 0.9


@dataclass(frozen=True)
class Shape:
    """[m, k] · [k, n], with b as [n, k] in memory (`nt`, as a linear layer's weights) or as written."""

    m: int
    n: int
    k: int
    layout: Layout = "nt"

    @property
    def flops(self) -> int:
        """A multiply and an add for each of m·n·k."""
        return 2 * self.m * self.n * self.k


class ShapeSearch:
    """Proposes each shape once; later proposals depend on the rates recorded so far."""

    def __init__(self, fits: Callable[[Shape], bool]) -> None:
        """Propose only shapes that fit: into memory, and into the time that there is."""
        self._fits = fits
        self.rates: dict[Shape, float] = {}
        self.best: Shape | None = None

    @property
    def best_rate(self) -> float:
        """The rate of the best shape, 0 before there is one."""
        return 0.0 if self.best is None else self.rates[self.best]

    def record(self, shape: Shape, rate: float | None) -> None:
        """Record a shape's rate; None where it could not be measured."""
        self.rates[shape] = rate or 0.0
        if rate and rate > self.best_rate:
            self.best = shape

    def __iter__(self) -> Iterator[Shape]:
        """Yield shapes; record the rate of each before taking the next."""
        yield from self._squares()
        for step in STEPS:
            left: set[Shape] = set()
            while around := [shape for shape in self.finalists(BEAM) if shape not in left]:
                left.add(around[0])
                yield from self._new(neighbors(around[0], step))

    def finalists(self, count: int) -> list[Shape]:
        """Return the fastest shapes, to be measured again with more care."""
        measured = [shape for shape in self.rates if self.rates[shape] > 0]
        return sorted(measured, key=lambda shape: -self.rates[shape])[:count]

    def _squares(self) -> Iterator[Shape]:
        size = FIRST_SQUARE
        while size > MULTIPLE and not self._fits(Shape(size, size, size)):
            size //= 2
        while self._fits(square := Shape(size, size, size)):
            yield square
            if self.rates[square] < PAST_THE_BEST * self.best_rate or self.best is None:
                return
            size *= 2

    def _new(self, shapes: Iterator[Shape]) -> Iterator[Shape]:
        for shape in shapes:
            if shape not in self.rates and self._fits(shape):
                yield shape


def neighbors(shape: Shape, step: float) -> Iterator[Shape]:
    """Yield the shapes one step away: a dimension longer or shorter, or the other layout."""
    for dimension in ("m", "n", "k"):
        for factor in (step, 1 / step):
            size = round(getattr(shape, dimension) * factor / MULTIPLE) * MULTIPLE
            yield replace(shape, **{dimension: max(MULTIPLE, size)})
    yield replace(shape, layout="nn" if shape.layout == "nt" else "nt")
