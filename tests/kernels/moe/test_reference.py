"""The float64 reference: against a scalar computation, and against finite differences."""

import math

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.kernels.base import Operand
from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.reference import Part, forward, gradients
from bench.kernels.routing import choose_experts


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
    exact = gradients(case, inputs, Part.everything(case), seed)
    random = np.random.default_rng(seed)

    def loss(changed):
        y = forward(case, changed, np.arange(case.tokens), seed).value
        return (y * inputs["dy"].array).sum()

    assert set(exact) == {
        f"d_{name}"
        for name in inputs
        if name not in ("planted", "correction_bias", "dy", "arrivals", "arrived_experts")
    }
    for name, one in exact.items():
        gradient = one.value
        operand = inputs[name.removeprefix("d_")]
        direction = random.normal(size=operand.array.shape)
        step = 1e-6

        def along(distance, operand=operand, direction=direction, name=name):
            moved = Operand(operand.array + distance * direction, operand.dtype)
            return loss({**inputs, name.removeprefix("d_"): moved})

        difference = (along(step) - along(-step)) / (2 * step)
        expected = (gradient * direction).sum()
        size = np.linalg.norm(gradient) * np.linalg.norm(direction)
        assert abs(difference - expected) <= 1e-5 * size + 1e-7, name
