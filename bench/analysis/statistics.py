"""Medians and their intervals: few assumptions, because timings are skewed and drift."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

CONFIDENCE = 0.95

# Below six values not even the whole range covers a median with 95 %: 1 − 2·2**-6 = 0.969.
LEAST_SAMPLES = 6


@dataclass(frozen=True)
class Summary:
    """The statistics of one case's samples, in seconds; the interval is None below six samples.

    `drift` is the median of the second half of the samples over that of the first half, minus one:
    above zero the device became slower while it was measured.
    """

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
    if count < LEAST_SAMPLES:
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


def summarize(processes: Sequence[Sequence[float]]) -> Summary:
    """Return the summary of samples that were taken by one or several processes, in order.

    With several processes, the interval also covers how processes differ: it is never narrower than
    Student's interval over the processes' medians (Kalibera & Jones 2013, for why samples of one
    process are not enough).
    """
    pooled = [value for values in processes for value in values]
    median = statistics.median(pooled)
    interval = median_interval(pooled)
    if interval is not None and len(processes) > 1:
        medians = [statistics.median(values) for values in processes if values]
        centre, half = statistics.mean(medians), _student_half_width(medians)
        interval = min(interval[0], centre - half, median), max(interval[1], centre + half, median)
        interval = max(interval[0], 0.0), interval[1]
    low, high = interval if interval is not None else (None, None)
    return Summary(
        median_s=median,
        mean_s=statistics.fmean(pooled),
        stdev_s=statistics.stdev(pooled) if len(pooled) > 1 else None,
        ci_low_s=low,
        ci_high_s=high,
        drift=_drift(processes),
    )


def _student_half_width(values: Sequence[float]) -> float:
    from scipy.special import stdtrit  # here, because only runs of several processes need it

    if len(values) < 2:
        return 0.0
    quantile = float(stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2))
    return quantile * statistics.stdev(values) / math.sqrt(len(values))


def _drift(processes: Sequence[Sequence[float]]) -> float | None:
    drifts = []
    for values in processes:
        half = len(values) // 2
        if half >= 3:
            early, late = statistics.median(values[:half]), statistics.median(values[-half:])
            drifts.append(late / early - 1)
    return statistics.median(drifts) if drifts else None
