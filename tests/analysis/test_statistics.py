"""Intervals: they cover what they claim to cover, and there is none where the data allow none."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.statistics import (
    LEAST_VALUES,
    interval_rank,
    median_interval,
    summarize,
)


@pytest.mark.parametrize(
    ("count", "rank"),
    # Conover, Practical Nonparametric Statistics, table of the binomial with p = ½.
    [(5, None), (6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (25, 8)],
)
def test_ranks_from_tables(count, rank):
    assert interval_rank(count) == rank


@given(st.integers(LEAST_VALUES, 3000))
def test_the_rank_is_the_largest_that_covers_95_percent(count):
    rank = interval_rank(count)
    assert rank is not None

    def outside(j):
        return 2 * sum(math.comb(count, i) for i in range(j)) / 2**count

    assert outside(rank) <= 0.05
    if count <= 1000:
        assert outside(rank + 1) > 0.05


@pytest.mark.parametrize("count", [6, 15, 40])
def test_coverage_on_skewed_data(count):
    random = np.random.default_rng(0)
    median = math.log(2)
    hits = 0
    for values in random.exponential(size=(2000, count)):
        low, high = median_interval(values)
        hits += low <= median <= high
    assert hits / 2000 >= 0.94


@pytest.mark.parametrize("rounds", [2, 4, 5, 6, 9])
def test_coverage_when_rounds_differ(rounds):
    """Samples within a round say nothing about how rounds differ; the interval has to."""
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(500):
        offsets = random.lognormal(0.0, 0.05, size=rounds)
        summary = summarize([list(random.normal(offset, 0.002, size=5)) for offset in offsets])
        hits += summary.ci_low_s <= 1.0 <= summary.ci_high_s
    assert hits / 500 >= 0.93


def test_a_single_round_has_the_interval_of_its_samples():
    values = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    summary = summarize([values])
    assert (summary.ci_low_s, summary.ci_high_s) == (1.0, 1.5)
    assert summary.rounds_s == (summary.median_s,)


def test_the_median_is_one_of_rounds():
    summary = summarize([[1.0] * 100, [2.0], [3.0]])
    assert summary.median_s == 2.0
    assert summary.rounds_s == (1.0, 2.0, 3.0)


def test_no_interval_below_six_samples():
    summary = summarize([[1.0, 2.0, 3.0]])
    assert summary.median_s == 2.0
    assert summary.ci_low_s is None
    assert summary.half_width is None
    assert summary.drift is None
    assert summarize([[1.0]]).stdev_s is None


@given(st.lists(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=9), min_size=1, max_size=9))
def test_the_interval_encloses_the_median(rounds):
    summary = summarize(rounds)
    if summary.ci_low_s is not None:
        assert 0 <= summary.ci_low_s <= summary.median_s <= summary.ci_high_s


def test_drift_has_a_sign():
    assert summarize([[1.0] * 10 + [1.1] * 10]).drift == pytest.approx(0.1)
    assert summarize([[1.1] * 10 + [1.0] * 10]).drift < 0
    assert summarize([[1.0]] * 4 + [[1.2]] * 4).drift == pytest.approx(0.2)
