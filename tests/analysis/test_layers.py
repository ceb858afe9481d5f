"""Measured layers: which rows belong together, which set is preferred, and times between them."""

from __future__ import annotations

import json

import pytest

from bench.analysis.layers import LayerKind, is_layer_of, measured_layers
from bench.catalog.models import get_model
from bench.errors import UsageError
from bench.kernels.moe.layer import MoeLayer
from tests.analysis.model_rows import MODEL, layer


def sets(*rows, passes="forward"):
    return measured_layers(rows, get_model(MODEL), "h100-sxm", "bfloat16", passes)


def preferred(*rows):
    return sets(*rows)[0]


def test_layers_are_interpolated_on_logarithmic_axes():
    layers = preferred(layer(16, 1e-3), layer(1024, 4e-3))
    assert layers.time_s(16).value == 1e-3
    assert layers.time_s(128).value == pytest.approx(2e-3)
    assert layers.time_s(1024).value == 4e-3
    for tokens in (8, 2048):
        assert not layers.covers(tokens)
        with pytest.raises(UsageError, match=f"from 16 to 1024 tokens per chip, not at {tokens}"):
            layers.time_s(tokens)


def test_interpolation_carries_the_interval():
    layers = preferred(
        layer(16, 1e-3, ci_low_s=0.9e-3, ci_high_s=1.1e-3),
        layer(64, 4e-3, ci_low_s=3e-3, ci_high_s=5e-3),
    )
    time = layers.time_s(32)
    assert time.value == pytest.approx(2e-3)
    assert time.low == pytest.approx((0.9e-3 * 3e-3) ** 0.5)
    assert time.high == pytest.approx((1.1e-3 * 5e-3) ** 0.5)


def test_the_fastest_evenly_routed_layer_counts():
    layers = preferred(
        layer(16, 3e-3),
        layer(16, 2e-3),
        layer(16, 1e-3, routing="power_law"),
        layer(64, 9e-3, status="error"),
        layer(256, 9e-3, stage="gate"),
        layer(1024, 9e-3, **{"pass": "forward_backward"}),
    )
    assert sorted(layers.rows) == [16]
    assert layers.time_s(16).value == 2e-3


def test_no_bandwidth_beyond_the_peak_and_none_of_caches():
    cached = {**layer(1, 1e-6, achieved_gbps=9000.0), "kernel": "matmul", "model": None}
    assert preferred(layer(16, 1e-3), cached).memory_gbps == 2000
    assert preferred(layer(16, 1e-3, achieved_gbps=9000.0)).memory_gbps == 3350


def test_whole_layers_and_experts_alone_are_never_mixed():
    whole, experts = sets(
        layer(16, 1e-3),
        layer(64, 1e-3),
        layer(16, 2e-3, kernel="moe_layer"),
        layer(64, 2e-3, kernel="moe_layer"),
    )
    assert (whole.kind.kernel, experts.kind.kernel) == ("moe_layer", "moe_experts")
    assert [whole.time_s(16).value, whole.time_s(64).value] == [2e-3, 2e-3], "slower, yet preferred"


@pytest.mark.parametrize("as_text", [True, False])
def test_the_hottest_device_goes_before_others(as_text):
    def row(time_s, device):
        params = {"tokens": 16, "device": device} if device else {"tokens": 16}
        return layer(16, time_s, params=json.dumps(params) if as_text else params)

    rows = [row(1e-3, "mean"), row(2e-3, "median"), row(4e-3, "hottest"), row(3e-3, None)]
    assert [each.kind.device for each in sets(*rows)] == ["hottest", None, "median", "mean"]


def test_rows_whose_parameters_differ_are_sets_of_their_own():
    def row(tokens, **params):
        return layer(tokens, 1e-3, params=json.dumps({"tokens": tokens, **params}))

    plain, dropped = sets(row(16), row(64), row(16, capacity_factor=1.0))
    assert (sorted(plain.rows), sorted(dropped.rows)) == ([16, 64], [16])


def test_more_devices_that_share_the_experts_go_first():
    shared = sets(*(layer(16, 1e-3, expert_parallel=count) for count in (1, 64, 8, None)))
    assert [each.kind.expert_parallel for each in shared] == [64, 8, 1]


def test_other_models_chips_formats_and_passes_do_not_count():
    assert sets(layer(16, 1e-3, model="kimi-k2"), layer(16, 1e-3, chip="h20")) == []
    assert sets(layer(16, 1e-3, dtype="int8"), layer(16, 1e-3, stage="gate")) == []
    assert sets(layer(16, 1e-3), passes="forward_backward") == []


def whole_layer(name, **changes):
    """A row of the whole layer of a model, measured under another name."""
    shape = get_model(name).moe_layer() | changes
    kernel = MoeLayer(**shape, dtype="bfloat16", tokens=16, expert_parallel=32)
    params = json.dumps(kernel.parameters())
    changes = {"experts": kernel.experts, "model": "my-model", "params": params}
    return layer(16, 1e-3, kernel="moe_layer", **changes)


@pytest.mark.parametrize("name", ["glm-5.2", "nemotron-3-super-120b-a12b", "deepseek-v3"])
def test_a_layer_is_recognized_by_its_parameters(name):
    model = get_model(name)
    assert is_layer_of(whole_layer(name), model)
    assert is_layer_of(layer(16, 1e-3, model=name), model), "by its name, without parameters"
    for change in ({"top_k": 7}, {"scaling": 9.0}, {"shared_experts": 3, "shared_intermediate": 9}):
        assert not is_layer_of(whole_layer(name, **change), model)
    assert not is_layer_of(layer(16, 1e-3, model=None), model)
    assert not is_layer_of({**whole_layer(name), "kernel": "matmul"}, model)


def test_models_with_the_same_layer_share_their_rows():
    rows = [{**whole_layer("glm-5"), "model": "glm-5"}]
    for name in ("glm-5", "glm-5.2"):
        (layers,) = measured_layers(rows, get_model(name), "h100-sxm", "bfloat16")
        assert layers.model == name
    assert sets(*rows) == []


def test_experts_alone_are_recognized_whatever_the_router():
    """The shape of Kimi-K2's experts, as published tables have it: nothing of the gate."""
    widths = {"hidden": 7168, "intermediate": 2048, "experts": 384, "top_k": 8}
    row = layer(16, 1e-3, model=None, experts=384, params=json.dumps(widths))
    assert is_layer_of(row, get_model("kimi-k2"))
    narrow = {**row, "params": json.dumps(widths | {"intermediate": 1024})}
    assert not is_layer_of(narrow, get_model("kimi-k2"))


def test_rows_without_the_rates_that_the_rest_needs():
    with pytest.raises(UsageError, match="no row has achieved_gbps"):
        sets(layer(16, 1e-3, achieved_gbps=None))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (LayerKind("moe_layer", "balanced", None, 1), "all experts on one chip"),
        (LayerKind("moe_layer", "power_law", "hottest", 8), "the hottest of 8 chips that share"),
        (
            LayerKind("moe_experts", "balanced", None, 8),
            "one of 8 chips that share the experts, all",
        ),
    ],
)
def test_a_kind_in_words(kind, text):
    assert text in kind.layer_text
    assert "waits" not in kind.layer_text


@pytest.mark.parametrize("device", [None, "mean", "median"])
def test_a_device_that_others_wait_for_is_said_to_be_none(device):
    kind = LayerKind("moe_layer", "power_law", device, 8)
    assert f"the {device or 'mean'} of 8 chips" in kind.layer_text
    assert "the hottest of them takes longer, and a step waits for it" in kind.layer_text
