"""Quantities of rows with the interval of their time."""

from __future__ import annotations

import pytest

from bench.analysis.row_estimates import RATES, row_estimate
from bench.results.columns import COLUMNS

ROW = {"time_median_s": 1.0, "ci_low_s": 0.9, "ci_high_s": 1.2}


@pytest.mark.parametrize("column", sorted(RATES))
def test_a_rate_has_the_interval_of_its_time(column):
    estimate = row_estimate({**ROW, column: 100.0}, column)
    assert (estimate.low, estimate.high) == pytest.approx((100 / 1.2, 100 / 0.9))


def test_every_measured_rate_is_one():
    assert {"achieved_tflops", "weights_gbps", "tokens_per_s", "busbw_gbps"} <= RATES
    assert not RATES & {"peak_tflops", "peak_gbps", "ceiling_tflops", "time_median_s"}
    assert {column.name for column in COLUMNS} >= RATES
