"""Costs of rows by hand: prices, electricity, phases, and rows that cannot be priced."""

from __future__ import annotations

import pytest

from bench.analysis.estimate import Estimate, exactly
from bench.analysis.pricing import UTILIZATIONS, price_rows
from bench.catalog.chips import get_chip
from bench.catalog.models import get_model
from bench.errors import UsageError
from tests.analysis.model_rows import MODEL, layer, product

TWO = {"h100-sxm": exactly(2.0)}
GB = f"{get_chip('h100-sxm').memory_gb:g} GB"


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
    assert [(cost.tokens, cost.phase) for cost in plain] == [(16, "decode"), (4096, "prefill")]
    behind = price_rows(rows, TWO, context=1000).tokens
    assert [(cost.tokens, cost.phase) for cost in behind] == [(16, "decode"), (4096, "prefill")]
    for before, after in zip(plain, behind, strict=True):
        assert before.usd_per_million_tokens.value < after.usd_per_million_tokens.value


def test_of_one_model_every_number_of_tokens_and_no_products():
    rows = [product(500.0), layer(1, 1e-3), layer(16, 1e-3)]
    costs = price_rows(rows, TWO, model=get_model(MODEL))
    assert costs.products == ()
    assert [cost.tokens for cost in costs.tokens] == [1, 16]
    assert {cost.measured.expert_parallel for cost in costs.tokens} == {32}


def test_models_that_the_chips_do_not_hold_are_not_priced():
    rows = [product(500.0), layer(16, 1e-3, expert_parallel=1)]
    costs = price_rows(rows, TWO)
    assert costs.products and costs.tokens == ()
    (left,) = costs.not_priced
    assert left.reason.startswith(f"1 chip has {GB} for 1308 GB of routed experts")
    assert "expert_parallel: 32, pass: forward, tokens: [16]" in left.remedy
    with pytest.raises(
        UsageError, match="no cost of deepseek-v3 on h100-sxm in bfloat16: 1 chip has"
    ):
        price_rows(rows, TWO, model=get_model(MODEL))


def test_keys_and_values_that_have_no_room_are_not_priced():
    rows = [layer(16, 1e-3), layer(64, 1e-3), layer(120, 2e-3)]
    costs = price_rows(rows, TWO, model=get_model(MODEL), context=4096)
    assert [cost.tokens for cost in costs.tokens] == [16]
    (left,) = costs.not_priced
    assert left.reason.startswith(f"at 64, 120 tokens each of 32 chips has {GB} for")
    assert "18.42 GB of keys and values" in left.reason
    assert "expert_parallel: 128, pass: forward, tokens: [64, 120]" in left.remedy


def test_what_more_chips_hold_can_be_measured_and_the_rest_needs_a_shorter_context():
    rows = [layer(tokens, 1e-3) for tokens in (16, 64, 256)]
    (left,) = price_rows(rows, TWO, model=get_model(MODEL), context=4096).not_priced
    assert "64, 256 tokens" in left.reason
    assert "expert_parallel: 64, pass: forward, tokens: [64]" in left.remedy
    with pytest.raises(UsageError, match="use a shorter context"):
        price_rows(rows, TWO, model=get_model(MODEL), context=10**6)


def test_a_model_that_no_number_of_chips_holds():
    (left,) = price_rows([layer(16, 1e-3, chip="t4")], {"t4": exactly(1.0)}).not_priced
    assert left.reason.startswith("each of 32 chips has 1")
    assert left.remedy == "no number of these chips holds it"
    with pytest.raises(UsageError, match="no row of a layer of kimi-k2; no number of these chips"):
        price_rows([product(1.0, chip="t4")], {"t4": exactly(1.0)}, model=get_model("kimi-k2"))


def test_the_memory_of_a_chip_that_no_table_has_is_not_checked():
    rows = [layer(16, 1e-3, expert_parallel=1, chip="my chip")]
    (cost,) = price_rows(rows, {"my chip": exactly(2.0)}).tokens
    assert cost.measured.expert_parallel == 1


def test_rows_that_lack_a_rate_cost_only_their_own_model():
    rows = [layer(16, 1e-3), layer(16, 1e-3, model="qwen3-30b-a3b", achieved_gbps=None)]
    costs = price_rows(rows, TWO)
    assert {cost.model for cost in costs.tokens} == {MODEL}
    assert [left.model for left in costs.not_priced] == ["qwen3-30b-a3b"]


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
        ([product(1.0)], {"model": get_model(MODEL)}, f"no row of a layer of {MODEL}"),
        (
            [layer(1, 1e-3, stage="gate")],
            {"model": get_model(MODEL)},
            f"no row of a layer of {MODEL}",
        ),
    ],
)
def test_rows_that_cannot_be_priced(rows, options, message):
    with pytest.raises(UsageError, match=message):
        price_rows(rows, {}, **options)


def test_a_rate_that_no_chip_has_ends_in_a_sentence():
    with pytest.raises(UsageError, match="check the inputs"):
        price_rows([product(1e-320)], TWO)
