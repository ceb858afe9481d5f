"""The cells of many rows by column, as NumPy arrays: 10⁵ rows are checked in a fraction of a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.results.columns import BY_NAME, Row

Floats = NDArray[np.float64]
Objects = NDArray[np.object_]
Mask = NDArray[np.bool_]


class ColumnArrays:
    """The columns of some rows, each made when it is asked for.

    `numbers` gives the cells of a column of integers, numbers or booleans, `texts` those of any other.
    """

    def __init__(
        self, length: int, numbers: Callable[[str], Floats], texts: Callable[[str], Objects]
    ) -> None:
        self.length = length
        self._numbers, self._texts = numbers, texts
        self._made: dict[str, Any] = {}

    @classmethod
    def of_rows(cls, rows: Sequence[Row]) -> ColumnArrays:
        """Return the columns of rows as dictionaries."""

        def texts(name: str) -> Objects:
            cells = np.empty(len(rows), dtype=object)
            cells[:] = [row[name] for row in rows]
            return cells

        return cls(len(rows), lambda name: np.array([row[name] for row in rows], float), texts)

    def numbers(self, name: str) -> Floats:
        """The cells of a column, NaN where unknown."""
        if name not in self._made:
            self._made[name] = self._numbers(name)
        cells: Floats = self._made[name]
        return cells

    def texts(self, name: str) -> Objects:
        """The cells of a column, None where unknown."""
        if name not in self._made:
            self._made[name] = self._texts(name)
        cells: Objects = self._made[name]
        return cells

    def known(self, name: str) -> Mask:
        """Where a column has a value."""
        if has_numbers(name):
            return ~np.isnan(self.numbers(name))
        return np.asarray(self.texts(name) != np.array(None), bool)


def has_numbers(name: str) -> bool:
    """Whether a column's cells are numbers, booleans being 0 and 1."""
    return BY_NAME[name].type in ("integer", "number", "boolean")


def plain(value: float) -> object:
    """Return a number as a message has it: None where unknown, and whole numbers without a point."""
    if np.isnan(value):
        return None
    return int(value) if float(value).is_integer() else float(value)
