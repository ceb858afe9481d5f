"""Projections: the formulas by hand, published runs, and what is refused."""

from __future__ import annotations

import pytest

from bench.analysis.attention import AttentionWork, uniform_attention_flops
from bench.analysis.estimate import Estimate, exactly
from bench.analysis.projection import (
    active_size,
    bytes_each,
    measured_layers,
    rest_parameters,
    step,
    total_size,
    train,
    training_flops_per_token,
)
from bench.catalog.models import get_model
from bench.errors import UsageError

MODEL = "deepseek-v3"


def layer(tokens, time_s, **changes):
    return {
        "chip": "h100-sxm",
        "model": MODEL,
        "kernel": "moe_experts",
        "dtype": "bfloat16",
        "status": "ok",
        "routing": "balanced",
        "pass": "forward",
        "stage": None,
        "expert_parallel": 1,
        "tokens": tokens,
        "time_median_s": time_s,
        "ci_low_s": None,
        "ci_high_s": None,
        "achieved_tflops": 500.0,
        "peak_tflops": 989.0,
        "achieved_gbps": 2000.0,
        "peak_gbps": 3350.0,
        **changes,
    }


def layers(*rows):
    return measured_layers(rows, MODEL, "h100-sxm", "bfloat16")


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


def test_layers_are_interpolated_on_logarithmic_axes():
    found = layers(layer(16, 1e-3), layer(1024, 4e-3))
    assert found.time_s(16).value == 1e-3
    assert found.time_s(128).value == pytest.approx(2e-3)
    assert found.time_s(1024).value == 4e-3
    for tokens in (8, 2048):
        with pytest.raises(UsageError, match=f"from 16 to 1024 tokens a device, not at {tokens}"):
            found.time_s(tokens)


def test_interpolation_carries_the_interval():
    found = layers(
        layer(16, 1e-3, ci_low_s=0.9e-3, ci_high_s=1.1e-3),
        layer(64, 4e-3, ci_low_s=3e-3, ci_high_s=5e-3),
    )
    time = found.time_s(32)
    assert time.value == pytest.approx(2e-3)
    assert time.low == pytest.approx((0.9e-3 * 3e-3) ** 0.5)
    assert time.high == pytest.approx((1.1e-3 * 5e-3) ** 0.5)


def test_the_fastest_evenly_routed_layer_counts():
    found = layers(
        layer(16, 3e-3),
        layer(16, 2e-3),
        layer(16, 1e-3, routing="power_law"),
        layer(64, 9e-3, status="error"),
        layer(256, 9e-3, stage="gate"),
        layer(1024, 9e-3, **{"pass": "forward_backward"}),
    )
    assert sorted(found.rows) == [16]
    assert found.time_s(16).value == 2e-3


def test_no_bandwidth_beyond_the_peak_and_none_of_caches():
    cached = {**layer(1, 1e-6, achieved_gbps=9000.0), "kernel": "matmul", "model": None}
    assert layers(layer(16, 1e-3), cached).memory_gbps == 2000
    assert layers(layer(16, 1e-3, achieved_gbps=9000.0)).memory_gbps == 3350


def test_a_step_is_layers_rest_and_attention():
    model = get_model(MODEL)
    found = layers(layer(16, 1e-3))
    rest = 37e9 - 58 * 8 * 3 * 7168 * 2048
    assert rest_parameters(found, model) == pytest.approx(rest)
    one = step(found, model, 16, AttentionWork(flops=1e9, read_bytes=2e9))
    assert one.layers_s.value == pytest.approx(58e-3)
    assert one.rest_s.value == pytest.approx(rest * 2 / 2000e9), "bound by memory at 16 tokens"
    assert one.attention_s.value == pytest.approx(1e-3), "bound by memory, too"
    busy = step(found, model, 16, AttentionWork(flops=1e12, read_bytes=2e9))
    assert busy.attention_s.value == pytest.approx(1e12 / 500e12), "bound by products"
    assert one.tokens_per_s.value == pytest.approx(16 / (58e-3 + rest * 2 / 2e12 + 1e-3))
    own = layers(layer(16, 1e-3, kernel="moe_layer"))
    shared = 58 * (7168 * 256 + 3 * 7168 * 2048)
    assert rest_parameters(own, model) == pytest.approx(rest - shared)


def test_rows_that_are_missing_are_refused():
    with pytest.raises(
        UsageError, match="no row of deepseek-v3 on h100-sxm in bfloat16: measure it"
    ):
        layers(layer(16, 1e-3, model="kimi-k2"))


@pytest.mark.parametrize(
    ("dtype", "size"), [("bfloat16", 2), ("float8_e4m3", 1), ("float4_e2m1", 0.5625)]
)
def test_bytes_of_a_weight(dtype, size):
    assert bytes_each(dtype) == size


def test_sizes_are_published_or_else_counted():
    assert active_size(get_model(MODEL)) == 37e9
    assert total_size(get_model(MODEL)) == 671e9
    assert active_size(get_model("kimi-k3")) == pytest.approx(105.4e9, rel=1e-3)
    nobody = get_model(MODEL).model_copy(update={"total_params_b": None})
    assert total_size(nobody) == pytest.approx(671e9, rel=1e-3)
