"""moe_layer: its work by hand, its rules, and its reference against a scalar re-computation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.kernels.base import Operand
from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.math import gate_weights
from bench.kernels.moe.reference import Part, forward, gradients
from bench.kernels.routing import choose_experts
from bench.results.columns import STAGES

SMALL = {
    "dtype": "float32",
    "hidden": 12,
    "intermediate": 10,
    "experts": 8,
    "top_k": 3,
    "tokens": 9,
}


def test_work_of_a_deepseek_v3_layer():
    """Per token: 2·7168·256 for the gate, 6·7168·2048 for each of 8 + 1 experts."""
    case = MoeLayer(
        dtype="bfloat16",
        hidden=7168,
        intermediate=2048,
        experts=256,
        top_k=8,
        shared_experts=1,
        tokens=4096,
    )
    work = case.work(0)
    assert work.flops == 4096 * (3670016 + 704643072 + 88080384)
    expert = 3 * 7168 * 2048
    assert work.bytes == 2 * (256 * expert + expert + 256 * 7168 + 2 * 4096 * 7168)
    assert work.load.imbalance == 1.0


def test_few_tokens_touch_few_experts():
    one = MoeLayer(**{**SMALL, "tokens": 1}).work(0)
    assert one.bytes == 4 * (3 * 3 * 12 * 10 + 8 * 12 + 2 * 12)


def test_expert_parallel_holds_a_share_and_computes_all_its_assignments():
    whole = MoeLayer(**SMALL).work(0)
    share = MoeLayer(**SMALL, expert_parallel=4).work(0)
    assert share.flops == whole.flops
    assert share.load.routing_sha256 == whole.load.routing_sha256
    assert share.bytes < whole.bytes
    assert MoeLayer(**SMALL, expert_parallel=4).make_inputs(0)["up"].array.shape == (2, 10, 12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top_k": 9}, "top_k: 9 is more than experts (8)"),
        ({"groups": 3}, "groups: 3 does not divide experts (8)"),
        ({"groups": 2, "topk_groups": 3}, "topk_groups: 3 is more than groups (2)"),
        (
            {"groups": 4, "topk_groups": 1},
            "top_k: 3 is more than the experts in 1 of 4 groups of 2",
        ),
        ({"expert_parallel": 3}, "expert_parallel: 3 does not divide experts (8)"),
        ({"tokens": 0}, "greater than or equal to 1"),
        ({"scaling": math.nan}, "finite"),
        ({"activation": "swigluoai", "gated": False}, "swigluoai is a gated activation"),
    ],
)
def test_impossible_layers_are_refused(change, message):
    with pytest.raises(ValidationError, match=message.replace("(", r"\(").replace(")", r"\)")):
        MoeLayer(**{**SMALL, **change})


def computed_here(case, seed):
    """Slot and local expert of what each token stands for, in plain Python, without a capacity."""
    devices, local = case.expert_parallel, case.local_experts
    if devices == 1 or case.routing == "balanced":
        return [
            [(slot, int(e) % local) for slot, e in enumerate(row) if e < case.experts]
            for row in case.chosen(seed)
        ]
    drawn = choose_experts(
        tokens=case.tokens * devices,
        experts=case.experts + case.zero_experts,
        top_k=case.top_k,
        groups=case.groups,
        topk_groups=case.topk_groups,
        routing=case.routing,
        exponent=case.routing_exponent,
        seed=seed,
    )
    reached = [[int(e) for e in drawn.ravel() if e // local == d] for d in range(devices)]
    mean = sum(map(len, reached)) / devices
    busy = [d for d in range(devices) if reached[d]] or [0]
    ascending = sorted(busy, key=lambda d: (len(reached[d]), d))
    device = {
        "hottest": max(busy, key=lambda d: (len(reached[d]), -d)),
        "mean": min(busy, key=lambda d: (abs(len(reached[d]) - mean), d)),
        "median": ascending[len(ascending) // 2],
    }[case.device]
    assert (case.chosen(seed) == drawn[device * case.tokens :][: case.tokens]).all()
    received = [[] for _ in range(case.tokens)]
    for number, e in enumerate(reached[device]):
        here = received[number * case.tokens // len(reached[device])]
        here.append((len(here) % case.top_k, e % local))
    return received


def scalar_layer(case, inputs, seed):
    """The layer in plain Python, one token and one number at a time."""
    arrays = {name: operand.array.astype(float) for name, operand in inputs.items()}

    def act(up, gate):
        x = up if gate is None else gate
        if case.activation == "silu":
            value = x / (1 + math.exp(-x))
        elif case.activation == "gelu":
            inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
            value = 0.5 * x * (1 + math.tanh(inner))
        elif case.activation == "relu2":
            value = max(x, 0.0) ** 2
        else:
            x = min(x, 7.0)
            return x / (1 + math.exp(-1.702 * x)) * (min(max(up, -7.0), 7.0) + 1)
        return value if gate is None else value * up

    def expert(x, prefix, e=...):
        up = arrays[f"{prefix}up"][e]
        gate = arrays[f"{prefix}gate"][e] if case.gated else None
        hidden = [
            act(sum(up[i] * x), None if gate is None else sum(gate[i] * x)) for i in range(len(up))
        ]
        return np.array([sum(row * hidden) for row in arrays[f"{prefix}down"][e]])

    def score(logit, logits):
        if case.gate == "softmax":
            return math.exp(logit) / sum(math.exp(other) for other in logits)
        if case.gate == "sigmoid":
            return 1 / (1 + math.exp(-logit))
        return math.sqrt(math.log(1 + math.exp(logit)))

    received = computed_here(case, seed)
    y = []
    for t, x in enumerate(arrays["x"]):
        logits = [
            sum(arrays["router"][e] * x) + arrays["planted"][t, e]
            for e in range(case.experts + case.zero_experts)
        ]
        scores = [score(logit, logits) for logit in logits]
        chosen = sorted(range(len(scores)), key=lambda e: -scores[e])[: case.top_k]
        assert sorted(chosen) == list(case.chosen(seed)[t]), "the gate finds the planted experts"
        total = sum(scores[e] for e in chosen) if case.normalize else 1.0
        z = arrays["latent_in"] @ x if case.latent else x
        weights = [case.scaling * scores[e] / total for e in sorted(chosen)]
        served = sum(
            (weights[slot] * expert(z, "", e) for slot, e in received[t]), np.zeros(case.width)
        )
        served = (
            served
            + sum(
                weight
                for weight, e in zip(weights, sorted(chosen), strict=True)
                if e >= case.experts
            )
            * z
        )
        out = arrays["latent_out"] @ served if case.latent else served
        y.append(out + expert(x, "shared_") if case.shared_width else out)
    return np.array(y)


LAYERS = {
    "hidden": st.integers(1, 9),
    "intermediate": st.integers(1, 7),
    "tokens": st.integers(1, 6),
    "shared_experts": st.integers(0, 2),
    "gated": st.booleans(),
    "activation": st.sampled_from(["silu", "gelu", "relu2", "swigluoai"]),
    "gate": st.sampled_from(["softmax", "sigmoid", "sqrt_softplus"]),
    "normalize": st.booleans(),
    "scaling": st.sampled_from([1.0, 2.5]),
    "expert_hidden": st.sampled_from([None, 3, 5]),
    "routing": st.sampled_from(["balanced", "uniform", "power_law"]),
}


@settings(max_examples=60)
@given(
    parameters=st.fixed_dictionaries(LAYERS),
    local=st.integers(1, 4),
    devices=st.integers(1, 3),
    device=st.sampled_from(["mean", "median", "hottest"]),
    zero_experts=st.sampled_from([0, 0, 3]),
    top_k=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_the_reference_equals_a_scalar_computation(
    parameters, local, devices, device, zero_experts, top_k, seed
):
    experts = local * devices
    assume(top_k <= experts + zero_experts)
    assume(parameters["gated"] or parameters["activation"] != "swigluoai")
    case = MoeLayer(
        dtype="float64",
        experts=experts,
        zero_experts=zero_experts,
        top_k=top_k,
        expert_parallel=devices,
        device=device,
        **parameters,
    )
    inputs = case.make_inputs(seed)
    reference = forward(case, inputs, np.arange(case.tokens), seed).value
    # Not by the kernel's tolerance: in layers as small as these, sums may cancel to nothing.
    np.testing.assert_allclose(scalar_layer(case, inputs, seed), reference, rtol=1e-9, atol=1e-12)


def test_gradients_count_three_times_the_products_and_weights_and_five_halves_of_the_tokens():
    """Weights are read twice and their gradients written; x is read twice, dy once; y and d_x written."""
    forward = MoeLayer(**SMALL).work(0)
    both = MoeLayer(**SMALL, **{"pass": "forward_backward"}).work(0)
    weights = 4 * (8 * 3 * 12 * 10 + 8 * 12)
    assert both.flops == 3 * forward.flops
    assert forward.bytes == weights + 4 * 2 * 9 * 12
    assert (both.bytes, both.weight_bytes) == (3 * weights + 4 * 5 * 9 * 12, 3 * weights)


@pytest.mark.parametrize("dtype", ["int8", "float8_e4m3"])
def test_weights_in_8_bits_come_with_a_float32_scale_per_channel(dtype):
    layer = {**SMALL, "dtype": dtype, "shared_experts": 2, "expert_hidden": 6}
    expert = 3 * 6 * 10 + 4 * (10 + 10 + 6)
    shared = 3 * 12 * 20 + 4 * (20 + 20 + 12)
    latent = 2 * 6 * 12 + 4 * (6 + 12)
    router = 2 * 8 * 12
    work = MoeLayer(**layer).work(0)
    assert work.weight_bytes == 8 * expert + shared + latent + router
    assert work.bytes == work.weight_bytes + 2 * 2 * 9 * 12
    stages = MoeLayer(**layer).stage_work(0)
    assert sum(stage.weight_bytes or 0 for stage in stages.values()) == work.weight_bytes
    inputs = MoeLayer(**layer).make_inputs(0)
    scales = sum(one.array.size for name, one in inputs.items() if name.endswith("_scale"))
    assert 4 * scales == 4 * (8 * (10 + 10 + 6) + 20 + 20 + 12 + 6 + 12)


def test_what_is_dropped_is_not_computed():
    full = MoeLayer(**SMALL, routing="power_law", capacity_factor=0.5)
    free = MoeLayer(**SMALL, routing="power_law")
    dropped = full.work(0).load.dropped
    assert dropped > 0
    assert free.work(0).flops - full.work(0).flops == dropped * 6 * 12 * 10
    assert full.load(0)[0].max() <= full.capacity == 2


def test_stages_add_up_to_the_flops_of_the_layer():
    for more in ({}, {"shared_experts": 2, "expert_hidden": 5}, {"capacity_factor": 0.5}):
        case = MoeLayer(**SMALL, **more)
        stages = case.stage_work(0)
        assert sum(work.flops for work in stages.values()) == case.work(0).flops
        assert set(stages) <= set(STAGES)


@settings(max_examples=40)
@given(
    parameters=st.fixed_dictionaries(LAYERS),
    capacity=st.sampled_from([None, 0.6]),
    devices=st.sampled_from([1, 2]),
    zero_experts=st.sampled_from([0, 0, 3]),
    top_k=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_gradients_are_those_of_finite_differences(
    parameters, capacity, devices, zero_experts, top_k, seed
):
    """The directional derivative of Σ dy ∘ y along a random direction, for every operand at once."""
    assume(parameters["gated"] or parameters["activation"] != "swigluoai")
    case = MoeLayer(
        dtype="float64",
        experts=6,
        top_k=top_k,
        capacity_factor=capacity,
        expert_parallel=devices,
        zero_experts=zero_experts,
        **{**parameters, "pass": "forward_backward"},
    )
    inputs = {
        name: Operand(operand.array.astype(np.float64), operand.dtype)
        for name, operand in case.make_inputs(seed).items()
    }
    expected = gradients(case, inputs, Part.everything(case), seed)
    random = np.random.default_rng(seed)

    def loss(changed):
        y = forward(case, changed, np.arange(case.tokens), seed).value
        return (y * inputs["dy"].array).sum()

    assert set(expected) == {
        f"d_{name}"
        for name in inputs
        if name not in ("planted", "correction_bias", "dy", "arrivals", "arrived_experts")
    }
    for name, one in expected.items():
        operand = inputs[name.removeprefix("d_")]
        direction = random.normal(size=operand.array.shape)
        step = 1e-6

        def along(distance, operand=operand, direction=direction, name=name):
            moved = Operand(operand.array + distance * direction, operand.dtype)
            return loss({**inputs, name.removeprefix("d_"): moved})

        difference = (along(step) - along(-step)) / (2 * step)
        analytic = (one.value * direction).sum()
        size = np.linalg.norm(one.value) * np.linalg.norm(direction)
        assert abs(difference - analytic) <= 1e-5 * size + 1e-7, name


@pytest.mark.parametrize("gate", ["softmax", "sigmoid", "sqrt_softplus"])
def test_planted_logits_decide_with_a_wide_margin(gate):
    """Rounding to bfloat16 must not be able to change the choice, with DeepSeek-V3's groups."""
    case = MoeLayer(
        dtype="bfloat16",
        hidden=256,
        intermediate=8,
        experts=256,
        top_k=8,
        groups=8,
        topk_groups=4,
        tokens=2000,
        gate=gate,
        routing="uniform",
    )
    inputs = case.make_inputs(0)
    logits = inputs["x"].array @ inputs["router"].array.T
    assert logits.std() == pytest.approx(0.25, rel=0.05)
    planted = inputs["planted"].array > 0
    total = logits + inputs["planted"].array
    assert total[planted].min() - total[~planted].max() > 1.0


@pytest.mark.parametrize("gate", ["softmax", "sigmoid", "sqrt_softplus"])
@pytest.mark.parametrize("top_k", [1, 8, 32])
def test_a_correction_bias_never_outweighs_the_planted_choice(gate, top_k):
    case = MoeLayer(
        dtype="float32",
        hidden=64,
        intermediate=8,
        experts=64,
        top_k=top_k,
        tokens=3000,
        gate=gate,
        correction_bias=True,
        routing="uniform",
    )
    inputs = case.make_inputs(0)
    logits = (inputs["x"].array @ inputs["router"].array.T).astype(np.float64)
    logits += inputs["planted"].array
    everyone = np.tile(np.arange(64), (3000, 1))
    scores = gate_weights(logits, everyone, gate=gate, normalize=False, scaling=1.0)
    biased = scores + inputs["correction_bias"].array
    planted = inputs["planted"].array > 0
    lowest = np.where(planted, biased, np.inf).min(axis=1)
    highest = np.where(planted, -np.inf, biased).max(axis=1)
    assert (lowest > highest).all()
