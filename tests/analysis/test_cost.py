"""Costs by hand."""

import pytest

from bench.analysis.cost import (
    fastest_by_chip,
    usd_per_exaflop,
    usd_per_million_tokens,
    with_energy,
)
from bench.analysis.estimate import Estimate, exactly


def test_dollars():
    assert usd_per_exaflop(exactly(2.99), exactly(795)).value == pytest.approx(1.045, abs=0.001)
    assert usd_per_million_tokens(exactly(3.6), exactly(1000)).value == pytest.approx(1.0)
    assert with_energy(exactly(2), 700, exactly(0.1)).value == pytest.approx(2.07)


def test_the_interval_of_the_price_reaches_the_cost():
    cost = usd_per_exaflop(Estimate(3, 2, 5), Estimate(800, 750, 850))
    assert cost.low == pytest.approx(2e6 / 3600 / 850)
    assert cost.high == pytest.approx(5e6 / 3600 / 750)


def test_the_fastest_row_that_is_ok():
    row = {"status": "ok", "kernel": "matmul", "chip": "a", "dtype": "int8", "achieved_tflops": 1.0}
    rows = [
        row,
        {**row, "achieved_tflops": 2.0},
        {**row, "achieved_tflops": 3.0, "status": "error"},
    ]
    rows += [{**row, "achieved_tflops": 9.0, "kernel": "memory"}, {**row, "achieved_tflops": None}]
    assert fastest_by_chip(rows, ("matmul",))["a", "int8"]["achieved_tflops"] == 2.0
