"""Costs of rows by hand: prices, electricity, phases, and rows that cannot be priced."""

from __future__ import annotations

import pytest

from bench.analysis.estimate import Estimate, exactly
from bench.analysis.pricing import UTILIZATIONS, price_rows
from bench.errors import UsageError
from tests.analysis.model_rows import MODEL, layer, product

TWO = {"h100-sxm": exactly(2.0)}


def test_the_fastest_product_and_what_it_would_be_at_other_shares_of_the_peak():
    costs = price_rows([product(400.0), product(500.0)], TWO)
    (cost,) = costs.products
    assert cost.tflops.value == 500
    assert cost.usd_per_exaflop.value == pytest.approx(2 * 1e6 / 3600 / 500)
    assert tuple(cost.usd_at_utilization) == UTILIZATIONS
    at_half = cost.usd_at_utilization[0.5]
    assert at_half.value == pytest.approx(cost.usd_per_exaflop.value)
    assert costs.tokens == ()


def test_without_a_peak_there_are_no_shares_of_it():
    (cost,) = price_rows([product(500.0, peak_tflops=None)], TWO).products
    assert cost.usd_at_utilization == {}


def test_electricity_is_added_where_power_is_known():
    rows = [product(500.0, power_w=1000.0), product(500.0, dtype="float16")]
    costs = price_rows(rows, TWO, usd_per_kwh=exactly(0.5))
    by_dtype = {cost.dtype: cost.usd_per_exaflop.value for cost in costs.products}
    assert by_dtype["bfloat16"] == pytest.approx(by_dtype["float16"] * 2.5 / 2)


def test_published_rents_are_the_default_and_named():
    (rent,) = price_rows([product(500.0)], {}).hours
    assert rent.usd.low < rent.usd.value < rent.usd.high
    assert len(rent.sources) > 2
    (given,) = price_rows([product(500.0)], {"h100-sxm": Estimate(3, 2, 4)}).hours
    assert given.sources == ()


def test_of_several_models_the_cheapest_of_each_phase():
    rows = [layer(1, 1e-3), layer(16, 1e-3), layer(1024, 1e-2), layer(4096, 2e-2)]
    plain = price_rows(rows, TWO).tokens
    assert [(cost.tokens, cost.phase) for cost in plain] == [(4096, None)]
    phases = price_rows(rows, TWO, context=1000).tokens
    assert [(cost.tokens, cost.phase) for cost in phases] == [(16, "decode"), (4096, "prefill")]
    for before, after in zip(plain, phases[1:], strict=True):
        assert before.usd_per_million_tokens.value < after.usd_per_million_tokens.value


def test_of_one_model_every_number_of_tokens_and_no_products():
    rows = [product(500.0), layer(1, 1e-3), layer(16, 1e-3)]
    costs = price_rows(rows, TWO, model=MODEL)
    assert costs.products == ()
    assert [cost.tokens for cost in costs.tokens] == [1, 16]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "no row with a measurement"),
        ([product(1.0, status="error")], {}, "no row with a measurement"),
        (
            [product(1.0, chip="x y")],
            {},
            r"no published price of x y: give one, --price 'x y'=\$/H",
        ),
        ([product(1.0)], {"model": MODEL}, f"no row of a layer of {MODEL}"),
        ([layer(1, 1e-3, stage="gate")], {"model": MODEL}, f"no row of a layer of {MODEL}"),
    ],
)
def test_rows_that_cannot_be_priced(rows, options, message):
    with pytest.raises(UsageError, match=message):
        price_rows(rows, {}, **options)
