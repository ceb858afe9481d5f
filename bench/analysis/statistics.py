"""Medians and their intervals: few assumptions, because timings are skewed and drift.

A case is measured in rounds: visits that lie far apart in time, each with its own allocation. What
repeats in another run is the scatter between rounds, so rounds are the units of every interval
(Kalibera & Jones, Rigorous Benchmarking in Reasonable Time, 2013). Samples of one visit only say how
well that visit is known.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

CONFIDENCE = 0.95

# Below six values not even the whole range covers a median with 95 %: 1 − 2·2**-6 = 0.969.
LEAST_VALUES = 6

# An interval wider than half of its median, to either side, is not worth a number.
TOO_NOISY = 0.5


@dataclass(frozen=True)
class Summary:
    """The statistics of one case, in seconds; the interval is None where nothing supports one.

    `median_s` is the median of the rounds' medians. The interval is that of this median with the
    rounds as units; of a single round, it is the interval of that round's samples.
    `drift` is the median of the second half over that of the first half, minus one (rounds, or the
    samples of a single round): above zero the device became slower while it was measured.
    """

    rounds_s: tuple[float, ...]
    median_s: float
    mean_s: float
    stdev_s: float | None
    ci_low_s: float | None
    ci_high_s: float | None
    drift: float | None

    @property
    def half_width(self) -> float | None:
        """Half of the interval's width over the median, None without an interval."""
        if self.ci_low_s is None or self.ci_high_s is None:
            return None
        return (self.ci_high_s - self.ci_low_s) / 2 / self.median_s


@cache
def interval_rank(count: int) -> int | None:
    """Return j such that the j-th smallest and j-th largest of `count` values enclose the median.

    The largest j ≥ 1 with 2·P(Binomial(count, ½) < j) ≤ 1 − CONFIDENCE, None if there is none; exact
    for any continuous distribution (Conover, Practical Nonparametric Statistics, 3.2).
    """
    if count < LEAST_VALUES:
        return None
    if count > 1000:
        # The normal approximation, rounded outwards; 1.959964 is its 97.5 % point.
        return max(1, math.floor((count - 1.959964 * math.sqrt(count)) / 2))
    below, j = 0.0, 0
    while 2 * (below + math.comb(count, j) / 2**count) <= 1 - CONFIDENCE:
        below += math.comb(count, j) / 2**count
        j += 1
    return j


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the distribution-free 95 % interval of the median, None below six values."""
    rank = interval_rank(len(values))
    if rank is None:
        return None
    ordered = sorted(values)
    return ordered[rank - 1], ordered[-rank]


def rounds_interval(medians: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of a time from the medians of its rounds, None below two rounds.

    By order statistics from six rounds on. Two to five rounds have Student's interval of their
    logarithms, widened where necessary to enclose their median: it is wide, as so few rounds are.
    """
    interval = median_interval(medians)
    if interval is not None or len(medians) < 2:
        return interval
    logs = [math.log(value) for value in medians]
    center, half = statistics.fmean(logs), student_half_width(logs)
    median = statistics.median(medians)
    return min(math.exp(center - half), median), max(math.exp(center + half), median)


def student_half_width(values: Sequence[float]) -> float:
    """Return half of Student's 95 % interval for the mean of two or more values."""
    from scipy.special import stdtrit  # here, because only short runs need it

    quantile = float(stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2))
    return quantile * statistics.stdev(values) / math.sqrt(len(values))


def summarize(rounds: Sequence[Sequence[float]]) -> Summary:
    """Return the summary of a case's samples, one sequence per round, in the order of time."""
    samples = [value for values in rounds for value in values]
    medians = [statistics.median(values) for values in rounds]
    units = medians if len(rounds) > 1 else samples
    interval = rounds_interval(medians) if len(rounds) > 1 else median_interval(samples)
    low, high = interval if interval is not None else (None, None)
    return Summary(
        rounds_s=tuple(medians),
        median_s=statistics.median(medians),
        mean_s=statistics.fmean(samples),
        stdev_s=statistics.stdev(samples) if len(samples) > 1 else None,
        ci_low_s=low,
        ci_high_s=high,
        drift=_drift(units),
    )


def _drift(values: Sequence[float]) -> float | None:
    half = len(values) // 2
    if half < 3:
        return None
    return statistics.median(values[-half:]) / statistics.median(values[:half]) - 1
