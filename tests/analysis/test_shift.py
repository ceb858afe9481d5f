"""Ratios from rounds: published rank tables, and intervals that cover a repetition under bad noise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.analysis import shift
from bench.analysis.shift import LARGEST_EXACT, shift_rank, shifts


@pytest.mark.parametrize(
    ("n", "m", "rank"),
    # One more than the critical values of the two-sided Mann–Whitney test at 5 % in common tables.
    [
        (3, 4, None),
        (3, 5, 1),
        (4, 4, 1),
        (5, 5, 3),
        (6, 6, 6),
        (5, 8, 7),
        (8, 8, 14),
        (20, 20, 128),
    ],
)
def test_ranks_from_tables(n, m, rank):
    assert shift_rank(n, m) == rank


@given(st.integers(1, 30), st.integers(1, 30))
def test_the_rank_is_the_largest_that_covers_95_percent(n, m):
    rank = shift_rank(n, m)
    # SciPy's exact distribution of the statistic, from its p-value of a sample with that statistic.
    exact = stats.mannwhitneyu
    if rank is None:
        assert 2 / math.comb(n + m, n) > 0.05
        return
    assert two_sided(exact, n, m, rank - 1) <= 0.05 + 1e-12
    assert two_sided(exact, n, m, rank) > 0.05 - 1e-12


def two_sided(test, n, m, u):
    """Return the exact two-sided p-value of U = u, for values that have it."""
    ranks = list(range(n))
    left = u
    for place in reversed(range(n)):  # push the highest values up until the pairs inverted are u
        step = min(m, left)
        ranks[place] += step
        left -= step
    other = [rank for rank in range(n + m) if rank not in ranks]
    return test(other, ranks, method="exact").pvalue if left == 0 else 1.0


def test_the_approximation_joins_the_exact_ranks():
    n = LARGEST_EXACT
    assert shift_rank(n + 1, n) - shift_rank(n, n) == pytest.approx(n / 2 * 0.8, abs=6)


def test_a_shift_is_found_and_its_interval_lies_around_it():
    random = np.random.default_rng(0)
    a, b = random.normal(0.5, 0.01, (200, 8)), random.normal(0.0, 0.01, (200, 8))
    center, low, high = shifts(a, b)
    assert np.abs(center - 0.5).max() < 0.03
    assert ((low <= center) & (center <= high)).all()
    swapped = shifts(b, a)
    np.testing.assert_allclose(swapped[0], -center)
    np.testing.assert_allclose(swapped[1], -high)


def test_too_few_rounds_have_an_estimate_and_no_interval():
    center, low, high = shifts(np.array([[1.0, 3.0]]), np.array([[0.0, 0.5]]))
    assert center[0] == 1.75
    assert np.isnan(low[0]) and np.isnan(high[0])


def bimodal(random, shape):
    """Every fourth visit has an allocation that is half as fast again."""
    return 0.01 * random.standard_normal(shape) + 0.4 * (random.random(shape) < 0.25)


def drifting(random, shape):
    """Each run drifts by up to 4 % in either direction, around the same middle."""
    slope = random.uniform(-0.04, 0.04, (shape[0], 1))
    return 0.01 * random.standard_normal(shape) + slope * np.linspace(-0.5, 0.5, shape[1])


def stepping(random, shape):
    """A slow phase of two rounds begins anywhere in half of the runs, and doubles the time."""
    start = random.integers(0, shape[1], (shape[0], 1))
    place = np.arange(shape[1])
    slow = (place >= start) & (place < start + 2) & (random.random((shape[0], 1)) < 0.5)
    return 0.01 * random.standard_normal(shape) + math.log(2) * slow


def autocorrelated(random, shape):
    """A round remembers a fifth of the one before it."""
    noise = 0.01 * random.standard_normal(shape)
    for place in range(1, shape[1]):
        noise[:, place] += 0.2 * noise[:, place - 1]
    return noise


def skewed(random, shape):
    """Neighbors only ever slow a round down."""
    return random.exponential(0.02, shape)


@pytest.mark.parametrize("rounds", [6, 8, 12])
@pytest.mark.parametrize("noise", [bimodal, drifting, stepping, autocorrelated, skewed])
def test_coverage_and_false_verdicts_under_bad_noise(noise, rounds):
    random = np.random.default_rng(rounds)
    trials = 2000
    _, low, high = shifts(noise(random, (trials, rounds)), noise(random, (trials, rounds)))
    covered = ((low <= 0) & (high >= 0)).mean()
    threshold = math.log(1.02)
    wrong = ((low > threshold) | (high < -threshold)).mean()
    assert covered >= (0.88 if noise is autocorrelated else 0.93)
    assert wrong <= 0.03


@pytest.mark.parametrize("noise", [bimodal, drifting, stepping, skewed])
def test_power(noise):
    random = np.random.default_rng(3)
    shape = (1000, 8)
    _, low, _ = shifts(noise(random, shape) + math.log(1.1), noise(random, shape))
    # Two rounds in another mode on either side widen the interval, but never reverse the verdict.
    assert (low > math.log(1.02)).mean() >= {bimodal: 0.5, stepping: 0.7}.get(noise, 0.9)


@pytest.mark.parametrize("limit", [1, 40, 1000])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 4), (6, 7), (20, 9)])
def test_many_rounds_have_the_same_interval_as_few(monkeypatch, limit, n, m):
    """Where not all differences fit into memory, they are counted instead of formed."""
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(5, n)), rng.normal(size=(5, m))
    b[0] = a[0, 0]
    expected = shifts(a, b)
    monkeypatch.setattr(shift, "MOST_DIFFERENCES", limit)
    for found, values in zip(shifts(a, b), expected, strict=True):
        np.testing.assert_allclose(found, values, atol=1e-14)


def test_a_hundred_thousand_rounds():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.1, 1, (1, 100_000)), rng.normal(0, 1, (1, 100_000))
    center, low, high = shifts(a, b)
    assert low[0] < 0.1 < high[0]
    assert high[0] - low[0] < 0.02
    assert low[0] < center[0] < high[0]
