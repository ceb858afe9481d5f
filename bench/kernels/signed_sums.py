"""Sums with random signs: a few products in place of all, in which every element of the large result counts.

A wrong element changes the sum that it is part of, whatever the signs (Freivalds 1977). So a product
c = a · b of n columns is checked by c · s = a · (b · s), with a vector s of signs for every few columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.kernels.dtypes import FloatArray

# One wrong element among so many stands out of their rounding errors, which add up to √64 times one.
COLUMNS_PER_SUM = 64

# Rows of an operand that are converted to float64 at one time.
ROWS_AT_ONCE = 1 << 10


def signs(length: int, random: np.random.Generator) -> FloatArray:
    """Return random signs, [length] float64."""
    return random.choice((-1.0, 1.0), length)


def signed_sums(
    array: NDArray[Any], sign: FloatArray, per_sum: int, dtype: type[np.floating[Any]] = np.float64
) -> FloatArray:
    """Return the sums of every `per_sum` columns of array [rows, columns], times their signs.

    The result is [rows, ⌈columns / per_sum⌉]. `dtype` float32 is faster, and exact enough for values of
    few bits.
    """
    starts = range(0, array.shape[1], per_sum)
    sums = np.empty((len(array), len(starts)))
    for index, start in enumerate(starts):
        part = slice(start, start + per_sum)
        sums[:, index] = array[:, part].astype(dtype, copy=False) @ sign[part].astype(dtype)
    return sums


def product(a: NDArray[Any], b: FloatArray) -> FloatArray:
    """Return a · b in float64, [rows, columns], converting a few rows of `a` at a time."""
    return np.concatenate(
        [
            a[start : start + ROWS_AT_ONCE].astype(np.float64) @ b
            for start in range(0, len(a), ROWS_AT_ONCE)
        ]
    )
