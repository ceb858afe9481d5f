"""The search on landscapes whose best point is known."""

from __future__ import annotations

import itertools
import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.measure.search import MULTIPLE, Shape, ShapeSearch

GRID = [round(512 * 2 ** (i / 2) / 64) * 64 for i in range(9)]  # 512 … 8192


def ridge(best, width, noise, seed):
    """A rate that falls by the distance from the best shape, in octaves, and saturates around it."""
    chance = random.Random(seed)

    def rate(shape):
        octaves = [
            math.log2(size / top)
            for size, top in zip((shape.m, shape.n, shape.k), best, strict=True)
        ]
        far = sum(each**2 for each in octaves)
        return 100 * math.exp(-far / width) * (1 + noise * chance.uniform(-1, 1))

    return rate


def searched(rate, fits=lambda shape: max(shape.m, shape.n, shape.k) <= 8192):
    search = ShapeSearch(fits)
    proposed = []
    for shape in search:
        proposed.append(shape)
        search.record(shape, rate(shape))
    return search, proposed


@settings(max_examples=200)
@given(
    best=st.tuples(*[st.sampled_from(GRID[2:7])] * 3),
    width=st.floats(20, 200),
    noise=st.sampled_from([0.0, 0.002]),
    seed=st.integers(0, 99),
)
def test_within_two_percent_of_all_shapes_in_a_tenth_of_them(best, width, noise, seed):
    search, proposed = searched(ridge(best, width, noise, seed))
    true = ridge(best, width, 0.0, seed)
    highest = max(true(Shape(*sizes)) for sizes in itertools.product(GRID, repeat=3))
    assert true(search.best) >= 0.98 * highest
    assert len(proposed) <= 2 * len(GRID) ** 3 / 10, "of both layouts"
    assert len(set(proposed)) == len(proposed), "no shape twice"


@given(most=st.integers(64, 3000), seed=st.integers(0, 20))
def test_what_does_not_fit_is_not_proposed(most, seed):
    rate = ridge((4096, 4096, 4096), 50, 0.01, seed)
    _, proposed = searched(rate, lambda shape: max(shape.m, shape.n, shape.k) <= most)
    assert proposed
    for shape in proposed:
        assert max(shape.m, shape.n, shape.k) <= most
        assert all(size % MULTIPLE == 0 for size in (shape.m, shape.n, shape.k))


def test_nothing_that_can_be_measured_ends_the_search():
    search, proposed = searched(lambda shape: None)
    assert search.best is None
    assert search.finalists(3) == []
    assert len(proposed) == 1


def test_the_layout_is_tried_and_finalists_are_the_fastest():
    def rate(shape):
        return ridge((2048, 2048, 2048), 50, 0, 0)(shape) * (1.1 if shape.layout == "nn" else 1)

    search, _ = searched(rate)
    assert search.best.layout == "nn"
    finalists = search.finalists(3)
    assert finalists[0] == search.best
    assert [search.rates[one] for one in finalists] == sorted(search.rates.values())[:-4:-1]
