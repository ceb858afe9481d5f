"""The MoE layer against blocks that we did not write: Hugging Face transformers', same weights.

Values agree as far as transformers goes: its routers but gpt-oss's score in float32, whatever the
dtype. Our own float64 is held against our float64 reference in the tests of the implementations.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backends.cpu.moe import Packed
from backends.torch.moe import transformers as peer
from backends.torch.moe.grouped import GroupedMoe
from backends.torch.moe.loop import LoopMoe
from backends.torch.operands import to_device, to_host
from bench.kernels.base import Operand
from bench.kernels.inputs import generator
from bench.kernels.moe import reference
from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.reference import Part

pytest.importorskip("transformers")

CPU = torch.device("cpu")
FAMILIES = ("deepseek_v3", "qwen3_moe", "mixtral", "gpt_oss")
SCORES_IN_FLOAT32 = 1e-6
# The operands that have gradients; the planted logits and the bias are constants.
DIFFERENTIABLE = ("x", "router", "gate", "up", "down", "shared_gate", "shared_up", "shared_down")


def layer(family, dtype, **parameters):
    """A layer as the family's models have it: gate, activation, shared experts."""
    if family == "deepseek_v3":
        particular = {"gate": "sigmoid", "shared_experts": 1, "correction_bias": True}
        return MoeLayer(dtype=dtype, **(particular | {"scaling": 2.5} | parameters))
    if family == "gpt_oss":
        return MoeLayer(dtype=dtype, activation="swigluoai", **parameters)
    return MoeLayer(dtype=dtype, **parameters)


def on_device(inputs):
    return {name: to_device(operand, CPU) for name, operand in inputs.items()}


def theirs(case, family, operands):
    """The block's forward pass, differentiable in our operands."""
    block = peer.block(case, operands, "eager")
    if family == "mixtral":
        from transformers.models.mixtral.configuration_mixtral import MixtralConfig
        from transformers.models.mixtral.modeling_mixtral import (
            MixtralSparseMoeBlock,
            MixtralTopKRouter,
        )

        sizes = {"intermediate_size": case.intermediate, "num_experts_per_tok": case.top_k}
        sizes |= {"num_local_experts": case.experts, "experts_implementation": "eager"}
        with torch.device("meta"):
            block = MixtralSparseMoeBlock(MixtralConfig(hidden_size=case.hidden, **sizes)).eval()
            wide = case.hidden + case.experts
            block.gate = MixtralTopKRouter(MixtralConfig(hidden_size=wide, **sizes))
        peer.plant(block.gate, operands["planted"], case.local_experts)
    expected = {"deepseek_v3": "DeepseekV3MoE", "qwen3_moe": "Qwen3MoeSparseMoeBlock"}
    expected |= {"mixtral": "MixtralSparseMoeBlock", "gpt_oss": "GptOssMLP"}
    assert type(block).__name__ == expected[family]
    y = torch.func.functional_call(
        block, peer.weights(case, operands), (operands["x"][None],), strict=True
    )
    return (y[0] if isinstance(y, tuple) else y)[0]


def distance(a, b):
    """‖a − b‖ / ‖b‖."""
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-300))


def check_forward(case, family, inputs, seed):
    operands = on_device(inputs)
    ours = reference.forward(case, inputs, np.arange(case.tokens), seed).value
    oracle = to_host(theirs(case, family, operands)).astype(np.float64)
    tolerance = max(case.tolerance(), SCORES_IN_FLOAT32)
    assert distance(oracle, ours) <= tolerance, "our reference against transformers"
    ran = []
    for name, implementation in (
        ("loop", LoopMoe()),
        ("grouped", GroupedMoe()),
        ("packed", Packed()),
    ):
        if implementation.unsupported(case, CPU) is None:
            with torch.inference_mode():
                y = to_host(implementation.build(case, dict(operands))()["y"]).astype(np.float64)
            # Both sides round: each may be off by its own tolerance.
            assert distance(y, oracle) <= 2 * tolerance, name
            ran.append(name)
    return ran


def gradients(run, operands, upstream):
    """Gradients of Σ y ∘ upstream in every differentiable operand, by autograd through `run`."""
    leaves = {
        name: tensor.clone().requires_grad_(name in DIFFERENTIABLE)
        for name, tensor in operands.items()
    }
    wanted = [name for name in DIFFERENTIABLE if name in leaves]
    taken = torch.autograd.grad((run(leaves) * upstream).sum(), [leaves[n] for n in wanted])
    return dict(zip(wanted, map(to_host, taken), strict=True))


def check_gradients(case, family, inputs, seed):
    operands = on_device(inputs)
    shape = (case.tokens, case.hidden)
    upstream = torch.from_numpy(generator(0, "oracle/upstream").standard_normal(shape))
    oracle = gradients(lambda leaves: theirs(case, family, leaves), operands, upstream)
    ours = gradients(lambda leaves: LoopMoe().build(case, leaves)()["y"], operands, upstream)
    assert ours.keys() == oracle.keys()
    for name in ours:
        # A router's gradient is a small difference of large terms, so absolutely when it is small.
        near = 1e-5 * np.linalg.norm(oracle[name]) + 1e-5
        assert np.linalg.norm(ours[name] - oracle[name]) <= near, name
    inputs = {**inputs, "dy": Operand(upstream.numpy(), "float64")}
    for name, expected in reference.gradients(case, inputs, Part.everything(case), seed).items():
        theirs_too = oracle[name.removeprefix("d_")]
        near = 1e-5 * np.linalg.norm(theirs_too) + 1e-5
        assert np.linalg.norm(expected.value - theirs_too) <= near, name


SHAPES = {
    "hidden": st.integers(17, 48),
    "intermediate": st.sampled_from([9, 16, 27, 32]),
    "tokens": st.integers(1, 24),
    "routing": st.sampled_from(["uniform", "power_law"]),
}


@settings(max_examples=24, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    dtype=st.sampled_from(["float64", "float32", "bfloat16"]),
    shape=st.fixed_dictionaries(SHAPES),
    groups=st.integers(1, 3),
    size=st.integers(2, 4),
    open_groups=st.integers(1, 3),
    top_k=st.integers(1, 8),
    normalize=st.booleans(),
    seed=st.integers(0, 99),
)
def test_layers(family, dtype, shape, groups, size, open_groups, top_k, normalize, seed):
    more = {}
    if family == "deepseek_v3":
        assume(open_groups <= groups and top_k <= open_groups * size)
        more = {"groups": groups, "topk_groups": open_groups, "normalize": normalize}
    elif family == "qwen3_moe":
        more = {"normalize": normalize}
    experts = groups * size
    assume(top_k <= experts)
    case = layer(family, dtype, experts=experts, top_k=top_k, **shape, **more)
    inputs = case.make_inputs(seed)
    assert "loop" in check_forward(case, family, inputs, seed)
    if dtype == "float64":
        check_gradients(case, family, inputs, seed)


EDGES = {
    "all tokens to one expert, none to the others": (1, [[2]] * 6),
    "one token for an expert": (1, [[0], [1], [1], [1], [3], [3]]),
    "every expert for every token": (4, [[0, 1, 2, 3]] * 6),
    "one token in all": (2, [[1, 3]]),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("edge", EDGES)
def test_edges(family, edge, tmp_path):
    top_k, chosen = EDGES[edge]
    np.savez(tmp_path / "edge.npz", chosen=np.array(chosen))
    trace = {"routing": "trace", "trace": str(tmp_path / "edge.npz")}
    sizes = {"hidden": 24, "intermediate": 16, "experts": 4, "top_k": top_k, "tokens": len(chosen)}
    for dtype in ("float64", "float32", "bfloat16"):
        case = layer(family, dtype, **sizes, **trace)
        inputs = case.make_inputs(0)
        ran = check_forward(case, family, inputs, 0)
        if dtype == "bfloat16":
            assert {"loop", "grouped"} <= set(ran)
        if dtype == "float64":
            check_gradients(case, family, inputs, 0)
