"""Quantities of result rows as estimates: the value of a column with the interval of its time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.analysis.estimate import Estimate, exactly
from bench.results.columns import COLUMNS, Row

# Columns that are inversely proportional to the time, and so have the interval of its inverse.
RATES = {column.name for column in COLUMNS if column.measured and column.unit.endswith("/s")} | {
    "utilization",
    "utilization_of_ceiling",
    "roofline_fraction",
}
# Bootstrap resamples of a geometric mean.
RESAMPLES = 2000


def row_estimate(row: Row, column: str) -> Estimate:
    """Return the value of a column, with the interval that the time's interval implies."""
    value = number(row[column])
    low, median, high = (row.get(name) for name in ("ci_low_s", "time_median_s", "ci_high_s"))
    if not low or not high or not median:
        return exactly(value)
    if column == "time_median_s":
        return Estimate(value, number(low), number(high))
    if column in RATES:
        slow, fast = number(median) / number(high), number(median) / number(low)
        return Estimate(value, value * slow, value * fast)
    return exactly(value)


def geometric_mean(estimates: Sequence[Estimate]) -> Estimate | None:
    """Return the geometric mean of at least three positive estimates, None otherwise.

    The interval is a 95 % percentile bootstrap over the cases (Efron 1979) from a fixed seed: it says how
    much the mean depends on which cases were measured.
    """
    values = [estimate.value for estimate in estimates]
    if len(values) < 3 or min(values) <= 0:
        return None
    logs = np.log(values)
    drawn = np.random.default_rng(0).choice(logs, (RESAMPLES, len(logs))).mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(*(float(np.exp(x)) for x in (logs.mean(), low, high)))


def number(value: object) -> float:
    """Return the value of a numeric cell that is known to be filled."""
    assert isinstance(value, (int, float))
    return float(value)
