"""Verification of layers: what of them is compared, and that wrong outputs and gradients do not pass."""

import numpy as np
import pytest

from bench.kernels.moe import verify
from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.reference import Part, forward, gradients

SMALL = {
    "dtype": "float32",
    "hidden": 12,
    "intermediate": 20,
    "experts": 8,
    "top_k": 3,
    "tokens": 40,
    "shared_experts": 1,
}


@pytest.fixture(params=[False, True], ids=["whole", "sampled"])
def sampled(request, monkeypatch):
    """Compare small layers in full or, as large ones, in part."""
    if request.param:
        monkeypatch.setattr(verify, "WHOLE_FLOPS", 0)
    return request.param


GRADIENTS = ["d_x", "d_up", "d_gate", "d_down", "d_shared_up", "d_shared_gate", "d_shared_down"]


@pytest.fixture(scope="module")
def training():
    """A layer with gradients, its inputs, and its outputs by the reference."""
    case = MoeLayer(**SMALL, **{"pass": "forward_backward"})
    inputs = case.make_inputs(0)
    expected = gradients(case, inputs, Part.everything(case), 0)
    outputs = {name: one.value for name, one in expected.items()}
    outputs["y"] = forward(case, inputs, np.arange(case.tokens), 0).value
    return case, inputs, outputs


@pytest.mark.parametrize("name", ["y", *GRADIENTS])
def test_a_wrong_gradient_does_not_pass(name, training, sampled):
    case, inputs, outputs = training
    check = case.verify(inputs, outputs, 0)
    assert check.passed, check
    assert ("16 random neurons" in check.compared) == sampled
    check = case.verify(inputs, {**outputs, name: outputs[name] * 1.05}, 0)
    assert not check.passed
    assert name in check.explanation
    assert not case.verify(inputs, {**outputs, name: outputs[name][:-1]}, 0).passed
    rest = {other: value for other, value in outputs.items() if other != name}
    assert f"{name} is missing" in case.verify(inputs, rest, 0).explanation


@pytest.mark.parametrize("name", ["d_up", "d_gate", "d_down"])
def test_the_gradient_of_one_experts_matrix_is_not_overlooked(name, training, sampled):
    case, inputs, outputs = training
    stale = outputs[name].copy()
    stale[5] = 0
    check = case.verify(inputs, {**outputs, name: stale}, 0)
    assert not check.passed
    assert name in check.explanation


def test_the_gradient_of_the_router_is_compared_in_small_layers(training):
    case, inputs, outputs = training
    damaged = {**outputs, "d_router": outputs["d_router"] * 1.05}
    assert "d_router" in case.verify(inputs, damaged, 0).explanation


@pytest.mark.parametrize("damage", ["one token", "token order", "a little"])
def test_wrong_outputs_do_not_pass(damage, sampled):
    case = MoeLayer(**{**SMALL, "dtype": "bfloat16", "tokens": 32, "routing": "uniform"})
    inputs = case.make_inputs(0)
    y = forward(case, inputs, np.arange(32), 0).value
    assert case.verify(inputs, {"y": y}, 0).passed
    if damage == "one token":
        y[11] *= 0.5
    elif damage == "token order":
        y = y[::-1]
    else:
        y = y * 1.05
    assert not case.verify(inputs, {"y": y}, 0).passed


@pytest.mark.parametrize("routing", ["balanced", "uniform", "power_law"])
@pytest.mark.parametrize("capacity", [None, 0.5])
def test_the_sample_has_a_token_of_every_expert_that_serves_any(routing, capacity):
    case = MoeLayer(
        dtype="float32",
        hidden=4,
        intermediate=4,
        experts=128,
        top_k=4,
        tokens=2000,
        routing=routing,
        capacity_factor=capacity,
    )
    assigned, kept = case.assignments(0), case.kept(0)
    token, expert = assigned.token[kept], assigned.expert[kept]
    tokens = verify.sample_tokens(token, expert, case.tokens, np.random.default_rng(0))
    assert len(set(tokens)) == len(tokens) < 200
    assert set(expert[np.isin(token, tokens)]) == set(expert)


@pytest.mark.parametrize("name", ["d_up", "d_gate", "d_down"])
@pytest.mark.parametrize("which", ["without rows", "last"])
def test_gradients_of_experts_without_rows_and_of_the_last_one_are_compared(name, which, sampled):
    """torch's grouped product leaves them as they were on compute capability 10 (pytorch issue 172439)."""
    few = {**SMALL, "experts": 16, "tokens": 3, "routing": "power_law", "routing_exponent": 3.0}
    case = MoeLayer(**few, **{"pass": "forward_backward"})
    inputs = case.make_inputs(0)
    expected = gradients(case, inputs, Part.everything(case), 0)
    outputs = {each: one.value for each, one in expected.items()}
    outputs["y"] = forward(case, inputs, np.arange(case.tokens), 0).value
    assert case.verify(inputs, outputs, 0).passed
    unused = sorted(set(range(16)) - set(case.assignments(0).expert))
    expert = unused[0] if which == "without rows" else 15
    left = outputs[name].copy()
    left[expert] = left[case.assignments(0).expert[0]]
    assert name in case.verify(inputs, {**outputs, name: left}, 0).explanation
