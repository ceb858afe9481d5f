"""Layers in 8 bits by every torch implementation on the processor, and that broken ones are found."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.torch.moe import float8, int8
from backends.torch.operands import to_device, to_host
from bench.kernels.moe.layer import MoeLayer
from tests.backends.torch.implementations import BACKEND, DEVICE, assert_all_right, run_all


@settings(max_examples=30)
@given(
    hidden=st.integers(33, 120),
    intermediate=st.integers(33, 120),
    tokens=st.integers(1, 40),
    top_k=st.integers(1, 6),
    expert_hidden=st.sampled_from([None, 48]),
    shared_experts=st.integers(0, 1),
    gated=st.booleans(),
    routing=st.sampled_from(["balanced", "uniform", "power_law"]),
    capacity_factor=st.sampled_from([None, 0.5]),
    expert_parallel=st.sampled_from([1, 2]),
    zero_experts=st.sampled_from([0, 3]),
    seed=st.integers(0, 99),
)
def test_layers_in_int8(seed, **parameters):
    assert_all_right(MoeLayer(dtype="int8", experts=6, **parameters), seed)


@settings(max_examples=30)
@given(
    hidden=st.sampled_from([32, 80, 128]),
    intermediate=st.sampled_from([16, 48, 96]),
    tokens=st.integers(1, 40),
    top_k=st.integers(1, 6),
    expert_hidden=st.sampled_from([None, 64]),
    shared_experts=st.integers(0, 1),
    gated=st.booleans(),
    routing=st.sampled_from(["balanced", "uniform", "power_law"]),
    capacity_factor=st.sampled_from([None, 0.5]),
    expert_parallel=st.sampled_from([1, 2]),
    zero_experts=st.sampled_from([0, 3]),
    seed=st.integers(0, 99),
)
def test_layers_in_float8(seed, **parameters):
    assert_all_right(MoeLayer(dtype="float8_e4m3", experts=6, **parameters), seed)


def grouped_product_in_float32(rows, scales, weights, weight_scales, ends):
    """Return what torch's grouped float8 product is documented to: each operand times its scales."""
    product = torch.empty((len(rows), weights.shape[1]))
    start = 0
    for matrix, channel, end in zip(weights, weight_scales, ends.tolist(), strict=True):
        product[start:end] = (rows[start:end].float() * scales[start:end]) @ (
            matrix.float() * channel
        ).T
        start = end
    assert start == len(rows)
    return product.to(torch.bfloat16)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"gated": False},
        {"expert_hidden": 64, "shared_experts": 1},
        {"expert_parallel": 2, "device": "hottest", "zero_experts": 2},
    ],
)
def test_the_grouped_float8_layer_around_its_product(monkeypatch, more):
    """Processors have no such product: it is emulated, and all around it is what runs on a GPU."""
    monkeypatch.setattr(float8, "grouped_product", grouped_product_in_float32)
    shape = {"hidden": 96, "intermediate": 48, "experts": 8, "top_k": 3, "tokens": 30}
    case = MoeLayer(dtype="float8_e4m3", routing="power_law", **{**shape, **more})
    inputs = case.make_inputs(0)
    operands = {name: to_device(one, torch.device("cpu")) for name, one in inputs.items()}
    with torch.inference_mode():
        y = float8.Float8Grouped().build(case, operands)()["y"]
    check = case.verify(inputs, {"y": to_host(y)}, 0)
    assert check.passed, check


def test_torch_takes_the_grouped_float8_product_as_it_is_called():
    meta = torch.device("meta")
    product = float8.grouped_product(
        torch.empty((30, 64), dtype=torch.float8_e4m3fn, device=meta),
        torch.empty((30, 1), device=meta),
        torch.empty((4, 48, 64), dtype=torch.float8_e4m3fn, device=meta),
        torch.empty((4, 48, 1), device=meta),
        torch.empty(4, dtype=torch.int32, device=meta),
    )
    assert (product.shape, product.dtype) == ((30, 48), torch.bfloat16)


@pytest.mark.parametrize(
    ("implementation", "name"), [(int8.Int8, "int8"), (float8.Float8, "float8")]
)
def test_a_quantized_layer_that_forgets_the_channels_scales_is_found(
    monkeypatch, implementation, name
):
    right = implementation.linear

    class Forgetful(right):
        def __init__(self, weight, scale):
            super().__init__(weight, scale.mean().expand(scale.shape).contiguous())

    monkeypatch.setattr(implementation, "linear", Forgetful)
    shape = {"hidden": 128, "intermediate": 64, "experts": 4, "top_k": 2, "tokens": 32}
    case = MoeLayer(dtype=implementation.dtype, **shape)
    assert not run_all(case)[name].passed


def test_a_latent_layer_quantizes_rows_before_its_projections_too():
    """By seed 1 the error is 0.131, more than rows of experts alone explain."""
    shape = {"hidden": 32, "intermediate": 16, "experts": 6, "top_k": 1, "tokens": 1}
    case = MoeLayer(dtype="float8_e4m3", expert_hidden=64, **shape)
    assert_all_right(case, 1)
    plain = MoeLayer(dtype="float8_e4m3", **shape)
    assert case.tolerance() > 1.3 * plain.tolerance()


MANY_EXPERTS = {
    "hidden": 256,
    "intermediate": 64,
    "experts": 24,
    "top_k": 10,
    "shared_experts": 1,
    "tokens": 24,
    "routing": "uniform",
}


@pytest.mark.parametrize("name", ["int8", "float8"])
@pytest.mark.parametrize("fault", ["missing", "scaled"])
def test_one_of_many_experts_that_is_wrong_is_found(name, fault):
    """Its share is within the tolerance of the whole; only the error along the share shows it."""
    dtype = {"int8": "int8", "float8": "float8_e4m3"}[name]
    case = MoeLayer(dtype=dtype, **MANY_EXPERTS)
    inputs = case.make_inputs(0)
    wrong = {**inputs, "down": replace(inputs["down"], array=inputs["down"].array.copy())}
    scales = replace(inputs["down_scale"], array=inputs["down_scale"].array.copy())
    wrong["down_scale"] = scales
    if fault == "missing":
        wrong["down"].array[3] = 0
    else:
        scales.array[3] *= 1.5
    for operands, passes in ((inputs, True), (wrong, False)):
        prepared = BACKEND.prepare(case, name, DEVICE, operands)
        check = case.verify(inputs, prepared.outputs(), 0)
        prepared.close()
        assert check.passed == passes, check
        assert check.rel_error < check.tolerance
    assert "the share of expert 3" in check.explanation
