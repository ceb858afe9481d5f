"""Projections: the formulas by hand, published runs, and what is refused."""

from __future__ import annotations

import pytest

from bench.analysis.attention import AttentionWork, uniform_attention_flops
from bench.analysis.estimate import Estimate, exactly
from bench.analysis.layers import measured_layers
from bench.analysis.projection import (
    active_size,
    rest_parameters,
    step,
    train,
    training_flops_per_token,
)
from bench.catalog.models import get_model
from tests.analysis.model_rows import MODEL, layer


def layers(*rows, of=MODEL):
    (only,) = measured_layers(rows, get_model(of), "h100-sxm", "bfloat16")
    return only


def test_six_flops_a_parameter_and_three_times_attention():
    assert training_flops_per_token(37e9) == 6 * 37e9
    full = uniform_attention_flops(61, 4096, 128 * (192 + 128), causal=False)
    assert training_flops_per_token(39e9, full) == 6 * 39e9 + 6 * 61 * 4096 * 40960


def test_deepseek_v3_by_its_own_hours():
    """2.664 million hours for 14.8 T tokens are 34.6 % of the H800's bfloat16 peak, so that gives them."""
    used = 6 * 37e9 * 14.8e12 / (2.664e6 * 3600) / 989e12
    assert used == pytest.approx(0.346, abs=0.001)
    run = train(
        training_flops_per_token(37e9),
        peak_tflops=989,
        chips=2048,
        utilization=exactly(used),
        efficiency=exactly(1),
        tokens=14.8e12,
    )
    assert run.chip_hours.value == pytest.approx(2.664e6)
    assert run.days.value == pytest.approx(2.664e6 / 2048 / 24)
    assert run.chips_for(run.days.value).value == pytest.approx(2048)


def test_intervals_reach_the_result():
    run = train(
        1e12,
        peak_tflops=100,
        chips=10,
        utilization=Estimate(0.4, 0.2, 0.5),
        efficiency=Estimate(0.9, 0.8, 1.0),
        tokens=1e12,
    )
    rate = run.tokens_per_s
    assert (rate.low, rate.value, rate.high) == pytest.approx((160, 360, 500))
    assert run.days.low == pytest.approx(1e12 / 500 / 86400)
    assert run.days.high == pytest.approx(1e12 / 160 / 86400)


def test_a_step_is_layers_rest_and_attention():
    model = get_model(MODEL)
    steps = layers(layer(16, 1e-3))
    rest = 37e9 - 58 * 8 * 3 * 7168 * 2048
    assert rest_parameters(steps, model) == pytest.approx(rest)
    one = step(steps, model, 16, AttentionWork(flops=1e9, read_bytes=2e9))
    assert one.layers_s.value == pytest.approx(58e-3)
    assert one.rest_s.value == pytest.approx(rest * 2 / 2000e9), "bound by memory at 16 tokens"
    assert one.attention_s.value == pytest.approx(1e-3), "bound by memory, too"
    busy = step(steps, model, 16, AttentionWork(flops=1e12, read_bytes=2e9))
    assert busy.attention_s.value == pytest.approx(1e12 / 500e12), "bound by products"
    assert one.tokens_per_s.value == pytest.approx(16 / (58e-3 + rest * 2 / 2e12 + 1e-3))
    own = layers(layer(16, 1e-3, kernel="moe_layer"))
    shared = 58 * (7168 * 256 + 3 * 7168 * 2048)
    assert rest_parameters(own, model) == pytest.approx(rest - shared)


def test_active_parameters_are_published_or_else_counted():
    assert active_size(get_model(MODEL)) == 37e9
    unpublished = {"total_params_b": None, "active_params_b": None}
    counted = get_model(MODEL).model_copy(update=unpublished)
    assert active_size(counted) == pytest.approx(36.6e9, rel=1e-2)


def test_zero_experts_leave_more_of_the_active_parameters_to_the_rest():
    """LongCat-Flash: 8 of the 12 experts per token have parameters; the router scores 768."""
    name = "longcat-flash"
    model = get_model(name)
    experts, whole = (
        rest_parameters(layers(layer(16, 1e-3, kernel=kernel, model=name), of=name), model)
        for kernel in ("moe_experts", "moe_layer")
    )
    assert experts == pytest.approx(27e9 - 28 * 8 * 3 * 6144 * 2048)
    assert experts - whole == pytest.approx(28 * 6144 * 768)


def test_a_whole_layer_has_the_projections_of_latent_experts():
    name = "nemotron-3-super-120b-a12b"
    model = get_model(name)
    rests = [
        rest_parameters(layers(layer(16, 1e-3, kernel=kernel, model=name), of=name), model)
        for kernel in ("moe_experts", "moe_layer")
    ]
    router = model.hidden * model.experts
    shared = 2 * model.hidden * model.shared_intermediate  # not gated: two matrices
    latent = 2 * model.hidden * model.expert_hidden
    assert model.expert_hidden != model.hidden
    assert rests[0] - rests[1] == pytest.approx(model.moe_layers * (router + shared + latent))
