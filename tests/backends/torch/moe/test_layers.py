"""Layers and their parts by every torch implementation on the processor."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.parts import MoeCombine, MoeDispatch, MoeGate
from bench.results.columns import STAGES
from tests.backends.torch.implementations import BACKEND, DEVICE, assert_all_right, run_all


@settings(max_examples=60)
@given(
    dtype=st.sampled_from(["float64", "float32", "float16", "bfloat16"]),
    # Rounding is judged as a random walk; sums of two or three terms may cancel to nothing.
    hidden=st.integers(17, 60),
    intermediate=st.integers(9, 40),
    tokens=st.integers(1, 50),
    groups=st.integers(1, 4),
    group_size=st.integers(1, 6),
    topk_groups=st.integers(1, 4),
    devices=st.sampled_from([1, 2, 3]),
    device=st.sampled_from(["mean", "median", "hottest"]),
    zero_experts=st.sampled_from([0, 0, 5]),
    top_k=st.integers(1, 24),
    shared_experts=st.integers(0, 2),
    expert_hidden=st.sampled_from([None, 19, 32]),
    gated=st.booleans(),
    activation=st.sampled_from(["silu", "gelu", "relu2", "swigluoai"]),
    gate=st.sampled_from(["softmax", "sigmoid", "sqrt_softplus"]),
    correction_bias=st.booleans(),
    normalize=st.booleans(),
    routing=st.sampled_from(["uniform", "power_law"]),
    capacity_factor=st.sampled_from([None, None, 0.5, 1.0]),
    backward=st.booleans(),
    seed=st.integers(0, 99),
)
def test_layers(
    groups,
    group_size,
    topk_groups,
    devices,
    zero_experts,
    top_k,
    gated,
    activation,
    backward,
    seed,
    **more,
):
    experts = groups * group_size * devices
    zero_experts = zero_experts if groups == 1 else 0
    assume(topk_groups <= groups and top_k <= topk_groups * ((experts + zero_experts) // groups))
    assume(gated or activation != "swigluoai")
    case = MoeLayer(
        experts=experts,
        groups=groups,
        topk_groups=topk_groups,
        top_k=top_k,
        expert_parallel=devices,
        zero_experts=zero_experts,
        gated=gated,
        activation=activation,
        **more,
        **{"pass": "forward_backward" if backward else "forward"},
    )
    assert_all_right(case, seed)


@pytest.mark.parametrize(
    ("more", "seed"),
    [
        ({"dtype": "float64", "intermediate": 18, "groups": 2, "topk_groups": 1}, 71),
        ({"dtype": "float32", "intermediate": 9, "expert_parallel": 3}, 0),
    ],
)
def test_a_gradient_of_the_gate_that_cancels(more, seed):
    # The weight's gradient is a sum of 17 products of which 1 % is left, at a sigmoid of 0.95.
    layer = {"hidden": 17, "experts": 6, "top_k": 1, "tokens": 1, "routing": "power_law"}
    gate = {"gated": False, "gate": "sigmoid", "normalize": False, "pass": "forward_backward"}
    assert_all_right(MoeLayer(**layer, **gate, **more), seed)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"gated": False},
        {"expert_hidden": 64, "shared_experts": 1},
        {"expert_parallel": 2, "device": "hottest", "zero_experts": 2},
    ],
)
def test_gradients_by_every_implementation(dtype, more):
    shape = {"hidden": 96, "intermediate": 64, "experts": 8, "top_k": 3, "tokens": 50}
    case = MoeLayer(dtype=dtype, routing="uniform", **{**shape, **more, "pass": "forward_backward"})
    checks = run_all(case)
    assert all(check.passed for check in checks.values()), checks
    assert set(checks) == ({"loop", "grouped"} if dtype == "bfloat16" else {"loop"})


@pytest.mark.parametrize(
    "more", [{"expert_parallel": 4, "device": "hottest"}, {"zero_experts": 4}, {"top_k": 1}]
)
def test_unequal_numbers_of_rows_by_every_implementation(more):
    shape = {"hidden": 96, "intermediate": 64, "experts": 8, "top_k": 3, "tokens": 50}
    case = MoeLayer(dtype="bfloat16", routing="power_law", **{**shape, **more})
    assert {"loop", "grouped"} <= set(run_all(case))
    assert_all_right(case)


@settings(max_examples=30)
@given(
    kernel=st.sampled_from([MoeGate, MoeDispatch, MoeCombine]),
    dtype=st.sampled_from(["float64", "float32", "float16", "bfloat16"]),
    hidden=st.integers(17, 70),
    tokens=st.integers(1, 50),
    experts=st.sampled_from([4, 12]),
    top_k=st.integers(1, 4),
    zero_experts=st.sampled_from([0, 3]),
    expert_parallel=st.sampled_from([1, 2]),
    capacity=st.sampled_from([None, 0.5]),
    routing=st.sampled_from(["balanced", "uniform", "power_law"]),
)
def test_what_moves_tokens(kernel, capacity, expert_parallel, **parameters):
    if kernel is not MoeGate:
        parameters |= {"capacity_factor": capacity, "expert_parallel": expert_parallel}
    assert_all_right(kernel(**parameters))


@pytest.mark.parametrize("name", ["loop", "grouped", "packed", "fused"])
def test_stages_add_up_to_the_layer(name):
    case = MoeLayer(
        dtype="bfloat16",
        hidden=128,
        intermediate=64,
        experts=8,
        top_k=2,
        tokens=64,
        shared_experts=1,
    )
    if BACKEND.unsupported(case, name, DEVICE) is not None:
        pytest.skip(BACKEND.unsupported(case, name, DEVICE))
    prepared = BACKEND.prepare(case, name, DEVICE, case.make_inputs(0))
    stages = prepared.stages(20)
    apart = [stage for stage in STAGES if name != "fused" or stage != "activation"]
    assert list(stages) == apart
    assert all(seconds > 0 for seconds in stages.values())
    times = []

    class Listening:
        timing = "host"
        now = staticmethod(BACKEND.timer(DEVICE).now)
        between = staticmethod(BACKEND.timer(DEVICE).between)

        def __call__(self, steps):
            times.append(BACKEND.timer(DEVICE)(steps))
            return times[-1]

    prepared._clock._timer = Listening()
    parts = sum(prepared.stages(50).values())
    assert 0.8 * times[0] < parts < times[0], "nothing is left out but the calls themselves"


def test_a_step_with_gradients_has_no_stages():
    shape = {"dtype": "float32", "hidden": 8, "intermediate": 8, "experts": 4}
    case = MoeLayer(**shape, top_k=1, tokens=1, **{"pass": "forward_backward"})
    assert BACKEND.prepare(case, "loop", DEVICE, case.make_inputs(0)).stages(1) is None


def test_all_tokens_to_all_experts_and_one_token_only():
    shape = {"dtype": "float32", "hidden": 8, "intermediate": 8, "experts": 4}
    assert_all_right(MoeLayer(**shape, top_k=4, tokens=7))
    assert_all_right(MoeLayer(**shape, top_k=1, tokens=1))


def test_a_wrong_implementation_is_found(monkeypatch):
    """A layer that forgets the gate's weights is fast, plausible, and wrong."""
    from backends.torch.moe import loop

    right = loop.choose

    def forgetful(case, operands):
        weight, chosen = right(case, operands)
        return torch.ones_like(weight) / weight.shape[1], chosen

    monkeypatch.setattr(loop, "choose", forgetful)
    case = MoeLayer(
        dtype="bfloat16", hidden=64, intermediate=32, experts=8, top_k=2, tokens=16, scaling=2.5
    )
    assert not run_all(case)["loop"].passed
