"""transformers' variants with kernels from its hub: its real block and dispatch, on stand-ins for kernels."""

from __future__ import annotations

import dataclasses
from enum import Enum
from importlib import import_module
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F

from backends.torch.moe import transformers_hub
from backends.torch.moe.transformers_hub import DeepGemm, SonicMoe
from backends.torch.operands import to_device, to_host
from bench.errors import Unsupported
from bench.kernels.moe.layer import MoeLayer

SHAPE = {"hidden": 48, "intermediate": 32, "experts": 8, "top_k": 3, "tokens": 20}
GPU = torch.device("cuda", 0)


class Activation(Enum):
    SWIGLU = "swiglu"


def moe_general_routing_inputs(
    x, scores, tokens, experts, w1, b1, w2, b2, *, E, activation_type, concat_layout, **more
):
    """Compute what the kernel's arguments mean: w1 [2·I, H, E] with gate before up, w2 [H, I, E]."""
    assert activation_type is Activation.SWIGLU
    assert concat_layout
    assert b1 is b2 is None
    assert (tokens.dtype, experts.dtype) == (torch.int32, torch.int32)
    total = torch.zeros(x.shape)
    for score, token, expert in zip(scores, tokens.tolist(), experts.tolist(), strict=True):
        gate, up = (w1[:, :, expert].float() @ x[token].float()).chunk(2)
        total[token] += score.float() * (w2[:, :, expert].float() @ (F.silu(gate) * up))
    return total.to(x.dtype), None


def grouped_bf16_matmul_nt(x, weights, out, layout, *, use_psum_layout):
    """Compute what DeepGEMM's arguments mean on Hopper: rows of x by the expert in `layout`, -1 for none."""
    assert not use_psum_layout
    assert (layout.dtype, layout.shape) == (torch.int32, x.shape[:1])
    out.fill_(float("nan"))
    for row, expert in enumerate(layout.tolist()):
        if expert >= 0:
            out[row] = (weights[expert].float() @ x[row].float()).to(out.dtype)


def kernels(name):
    """Make the stand-in for what transformers loads of a library, with nothing else in it."""
    from transformers.integrations import deepgemm, sonicmoe

    if name == "sonicmoe":
        return sonicmoe.SonicMoE(Activation, moe_general_routing_inputs)
    fields = dict.fromkeys(field.name for field in dataclasses.fields(deepgemm.DeepGEMM))
    return deepgemm.DeepGEMM(
        **{**fields, "grouped_bf16_matmul_nt": grouped_bf16_matmul_nt, "m_alignment": 16}
    )


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
@pytest.mark.parametrize("implementation", [SonicMoe(), DeepGemm()], ids=["sonicmoe", "deepgemm"])
@pytest.mark.parametrize("more", [{}, {"gate": "sigmoid", "groups": 2, "shared_experts": 1}])
def test_the_layer_around_the_kernels(monkeypatch, implementation, more):
    name = implementation.variant
    module = import_module(f"transformers.integrations.{name}")
    case = MoeLayer(dtype="bfloat16", routing="uniform", **{**SHAPE, **more})
    inputs = case.make_inputs(0)
    operands = {name: to_device(one, torch.device("cpu")) for name, one in inputs.items()}
    with pytest.raises(Unsupported, match=f"cannot load {name}"):
        implementation.build(case, operands)
    loaded = kernels(name)
    monkeypatch.setattr(module, f"load_{name}_kernel", lambda: loaded)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    with torch.inference_mode():
        y = implementation.build(case, operands)()["y"]
    check = case.verify(inputs, {"y": to_host(y)}, 0)
    assert check.passed, check


@pytest.mark.parametrize(
    ("implementation", "more", "capability", "missing", "reason"),
    [
        (SonicMoe(), {}, (9, 0), None, None),
        (SonicMoe(), {}, (12, 0), None, None),
        (SonicMoe(), {}, (8, 9), None, "compute capability 9 and 10 and 11 and 12 only"),
        (SonicMoe(), {}, (10, 0), "apache-tvm-ffi", "pip install apache-tvm-ffi"),
        (SonicMoe(), {"activation": "gelu"}, (9, 0), None, "silu only"),
        (DeepGemm(), {}, (10, 3), None, None),
        (DeepGemm(), {"activation": "gelu"}, (9, 0), None, None),
        (DeepGemm(), {}, (12, 0), None, "compute capability 9 and 10 only"),
        (DeepGemm(), {}, (9, 0), "kernels", "pip install kernels"),
        (DeepGemm(), {"dtype": "float16"}, (9, 0), None, "in bfloat16"),
        (DeepGemm(), {"graph": True}, (9, 0), None, "not recorded as a graph"),
        (DeepGemm(), {"pass": "forward_backward"}, (9, 0), None, "forward pass"),
    ],
)
def test_what_is_not_supported_says_why(
    monkeypatch, implementation, more, capability, missing, reason
):
    def version(package):
        if package == missing:
            raise transformers_hub.PackageNotFoundError
        return "1"

    monkeypatch.setattr(transformers_hub, "version", version)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    if find_spec("transformers") is None and reason in (None, "forward pass"):
        pytest.skip("transformers is not installed")
    said = implementation.unsupported(MoeLayer(**{"dtype": "bfloat16", **SHAPE, **more}), GPU)
    assert said is reason is None or reason in said
