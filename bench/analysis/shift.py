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

# Differences that are in memory at once, over all cases: 128 MiB.
MOST_DIFFERENCES = 1 << 24


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
    count = a.shape[1] * b.shape[1]
    rank = shift_rank(a.shape[1], b.shape[1])
    ranks = [(count + 1) // 2, count // 2 + 1, *((rank, count + 1 - rank) if rank else ())]
    if count > MOST_DIFFERENCES:
        chosen = np.array([_ranked(*pair, ranks) for pair in zip(a, b, strict=True)])
    else:
        block = max(1, MOST_DIFFERENCES // count)
        parts = [
            _sorted_differences(a[start : start + block], b[start : start + block])[
                :, np.array(ranks) - 1
            ]
            for start in range(0, len(a), block)
        ]
        chosen = np.concatenate(parts)
    center = chosen[:, :2].mean(axis=1)
    if rank is None:
        nothing = np.full(len(a), np.nan)
        return center, nothing, nothing.copy()
    return center, chosen[:, 2], chosen[:, 3]


def _sorted_differences(a: Floats, b: Floats) -> Floats:
    differences = (a[:, :, None] - b[:, None, :]).reshape(len(a), -1)
    differences.sort(axis=1)
    return differences


def _ranked(a: Floats, b: Floats, ranks: list[int]) -> list[float]:
    """Return the differences a − b of some ranks, counted from one, without forming all of them.

    By bisection: how many differences are at most x takes O(n log m) for sorted values.
    """
    a, b = np.sort(a), np.sort(b)
    values = []
    for rank in ranks:
        low, high = a[0] - b[-1], a[-1] - b[0]
        while low < (middle := low + (high - low) / 2) < high:
            at_most = len(a) * len(b) - int(np.searchsorted(b, a - middle, side="left").sum())
            low, high = (low, middle) if at_most >= rank else (middle, high)
        values.append(float(high))
    return values
