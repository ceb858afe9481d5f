"""The ratio of two times and its interval, from the rounds of both sides.

On the scale of logarithms a ratio is a shift. Hodges and Lehmann's estimate of a shift is the median
of all differences between a value of one side and a value of the other; its interval consists of
order statistics of these differences, at the rank that the Mann–Whitney test gives (Hollander, Wolfe
& Chicken, Nonparametric Statistical Methods, 3rd ed., 4.2 and 4.3). It is exact for any continuous
distribution, and a round in a slow moment moves it little.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.analysis.statistics import CONFIDENCE

Floats = NDArray[np.float64]

# Beyond so many values a side the normal approximation of the rank is exact to a hundredth.
LARGEST_EXACT = 50


@cache
def shift_rank(n: int, m: int) -> int | None:
    """Return k such that the k-th smallest and k-th largest difference enclose the shift.

    The largest k ≥ 1 with 2·P(U < k) ≤ 1 − CONFIDENCE for the Mann–Whitney statistic U of `n` and `m`
    values; None where there are too few: four and four suffice, or three and five.
    """
    if max(n, m) > LARGEST_EXACT:
        spread = 1.959964 * math.sqrt(n * m * (n + m + 1) / 12)
        rank = math.floor(n * m / 2 - spread)
        return rank if rank >= 1 else None
    # U counts as the partitions that fit into an n × m box: Gaussian binomial coefficients.
    counts = [1]
    for i in range(1, n + 1):
        counts = _divided(_times(counts, m + i), i)
    total, below, k = sum(counts), 0, 0
    while 2 * (below + counts[k]) <= (1 - CONFIDENCE) * total:
        below += counts[k]
        k += 1
    return k or None


def _times(counts: list[int], power: int) -> list[int]:
    """Return the polynomial times (1 − q^power)."""
    product = counts + [0] * power
    for place, count in enumerate(counts):
        product[place + power] -= count
    return product


def _divided(counts: list[int], power: int) -> list[int]:
    """Return the polynomial divided by (1 − q^power), which divides it."""
    quotient = list(counts)
    for place in range(power, len(quotient)):
        quotient[place] += quotient[place - power]
    return quotient[: len(quotient) - power]


def shifts(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
    """Return estimate, low and high of the shifts a − b; `a` is [cases, n], `b` [cases, m].

    NaN for low and high where n and m are too few for an interval.
    """
    differences = (a[:, :, None] - b[:, None, :]).reshape(len(a), -1)
    differences.sort(axis=1)
    center = np.asarray(np.median(differences, axis=1))
    rank = shift_rank(a.shape[1], b.shape[1])
    if rank is None:
        nothing = np.full(len(a), np.nan)
        return center, nothing, nothing.copy()
    return center, differences[:, rank - 1], differences[:, -rank]
