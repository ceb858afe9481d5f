"""A mixture-of-experts layer by Hugging Face transformers: the baseline that users know.

The block is transformers' own: its router, experts and shared experts, with weights laid out as it
stores them and computed by one of its `experts_implementation` variants. Two things are put around
the router, because a case decides which experts a token goes to (bench.kernels.moe.layer): planted
logits are joined to its input, with an identity joined to its weight, and on one of several devices
the chosen experts are numbered among those that the device holds.

transformers takes seconds to import and need not be installed, so it is imported when a layer is built.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from backends.torch.grouped_matmul import launched_at_once, too_many_groups
from backends.torch.implementation import Step, Tensors, reads_back
from bench.kernels.dtypes import DTYPES
from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.math import SWIGLUOAI_ALPHA, SWIGLUOAI_LIMIT

# What our activations are called in transformers; gpt-oss has its own and does not look it up.
ACTIVATIONS = {"silu": "silu", "gelu": "gelu_pytorch_tanh", "relu2": "relu2", "swigluoai": "silu"}

# experts_implementation came with this release.
FIRST_MAJOR = 5

# batched_mm copies the weights of every assignment, which is meant for a few tokens.
BATCHED_BYTES = 4 << 30


def unsupported(case: MoeLayer) -> str | None:
    """Say why no block of transformers computes the layer; None if one does."""
    if case.backward:
        return "transformers' blocks are measured in the forward pass here"
    if case.capacity is not None:
        return "transformers' blocks drop no tokens"
    if case.ragged:
        return "transformers' blocks send every token to top_k experts that compute, on one device"
    if case.dtype in ("int8", "float8_e4m3"):
        return f"transformers' blocks have no {case.dtype} path without a quantized checkpoint"
    if not case.gated or case.latent:
        return "transformers' blocks have gated experts of the model's width here"
    if case.dtype == "float64" and case.activation != "swigluoai":
        return "transformers' routers score in float32 at most"
    if case.activation == "swigluoai":
        # GptOssMLP: the softmax is over the chosen experts only, and there is nothing else.
        plain = case.groups == 1 and not case.correction_bias and case.scaling == 1
        if case.gate != "softmax" or not case.normalize or not plain or case.shared_width:
            return "transformers' gpt-oss block has a normalized softmax and no shared experts"
    elif case.gate == "softmax":
        if case.topk_groups < case.groups or case.correction_bias or case.scaling != 1:
            return "transformers' softmax router has no groups, correction bias or scaling"
    elif case.gate != "sigmoid":
        return f"transformers has no {case.gate} router here"
    elif case.experts // case.groups < 2:
        return "transformers' DeepSeek-V3 router needs groups of two experts or more"
    return None


def block(case: MoeLayer, operands: Tensors, variant: str) -> nn.Module:
    """Build transformers' block for the layer on the meta device: shapes without weights.

    Qwen3-MoE's block is used without shared experts, DeepSeek-V3's with them, the router by the kind
    of gate; gpt-oss's has both by itself. `operands` gives the planted logits.
    """
    if case.activation == "swigluoai":
        router_family = family = "gpt_oss"
        block_class, router_class, attribute = "GptOssMLP", "GptOssTopKRouter", "router"
    else:
        family = "deepseek_v3" if case.shared_width else "qwen3_moe"
        block_class = "DeepseekV3MoE" if case.shared_width else "Qwen3MoeSparseMoeBlock"
        router_family = "deepseek_v3" if case.gate == "sigmoid" else "qwen3_moe"
        router_class = "DeepseekV3TopkRouter" if case.gate == "sigmoid" else "Qwen3MoeTopKRouter"
        attribute = "gate"
    with torch.device("meta"):
        config = _config(case, family, case.hidden, case.local_experts, variant)
        moe: nn.Module = getattr(_modeling(family), block_class)(config)
        wide = _config(case, router_family, case.hidden + case.experts, case.experts, variant)
        router = getattr(_modeling(router_family), router_class)(wide)
        if case.shared_width:
            mlp = _modeling(family).DeepseekV3MLP
            moe.shared_experts = mlp(config, intermediate_size=case.shared_width)
    setattr(moe, attribute, router)
    plant(router, operands["planted"], case.local_experts)
    return moe.eval()


def plant(router: nn.Module, planted: Tensor, local_experts: int) -> None:
    """Join the planted logits to the router's input; number its choice among the local experts."""

    def before(_: nn.Module, arguments: tuple[Tensor, ...]) -> Tensor:
        x = arguments[0].flatten(0, -2)
        return torch.cat([x, planted.to(x.dtype)], dim=1)

    def after(_: nn.Module, __: Any, routed: tuple[Tensor, Tensor, Tensor]) -> Any:
        logits, weight, chosen = routed
        return logits, weight, chosen % local_experts

    router.register_forward_pre_hook(before)
    if local_experts < planted.shape[1]:
        router.register_forward_hook(after)


def weights(case: MoeLayer, operands: Tensors) -> dict[str, Tensor]:
    """Lay the weights out as the block stores them, by its parameters' names."""
    router = operands["router"]
    identity = torch.eye(case.experts, dtype=router.dtype, device=router.device)
    gate, up, down = operands["gate"], operands["up"], operands["down"]
    joined = torch.cat([router, identity], dim=1)
    if case.activation == "swigluoai":
        # gate0, up0, gate1, up1, …, and both matrices as [in, out].
        interleaved = torch.stack([gate, up], dim=2).flatten(1, 2)
        return {
            "router.weight": joined,
            "router.bias": router.new_zeros(case.experts),
            "experts.gate_up_proj": interleaved.transpose(1, 2).contiguous(),
            "experts.gate_up_proj_bias": gate.new_zeros(case.local_experts, 2 * case.intermediate),
            "experts.down_proj": down.transpose(1, 2).contiguous(),
            "experts.down_proj_bias": down.new_zeros(case.local_experts, case.width),
        }
    parameters = {
        "gate.weight": joined,
        "experts.gate_up_proj": torch.cat([gate, up], dim=1),
        "experts.down_proj": down,
    }
    if case.gate == "sigmoid":
        none = torch.zeros(case.experts, device=router.device)
        parameters["gate.e_score_correction_bias"] = operands.get("correction_bias", none)
    if case.shared_width:
        for name in ("gate", "up", "down"):
            parameters[f"shared_experts.{name}_proj.weight"] = operands[f"shared_{name}"]
    return parameters


def _modeling(family: str) -> Any:
    return import_module(f"transformers.models.{family}.modeling_{family}")


def _config(case: MoeLayer, family: str, hidden: int, experts: int, variant: str) -> Any:
    module = import_module(f"transformers.models.{family}.configuration_{family}")
    config_class = {
        "deepseek_v3": "DeepseekV3Config",
        "qwen3_moe": "Qwen3MoeConfig",
        "gpt_oss": "GptOssConfig",
    }[family]
    common = {
        "hidden_size": hidden,
        "num_local_experts": experts,
        "num_experts_per_tok": case.top_k,
        "hidden_act": ACTIVATIONS[case.activation],
        "experts_implementation": variant,
    }
    if family == "gpt_oss":
        particular = {
            "intermediate_size": case.intermediate,
            "swiglu_alpha": SWIGLUOAI_ALPHA,
            "swiglu_limit": SWIGLUOAI_LIMIT,
        }
    else:
        particular = {
            "moe_intermediate_size": case.intermediate,
            "norm_topk_prob": case.normalize,
        }
    if family == "deepseek_v3":
        particular |= {
            "n_group": case.groups,
            "topk_group": case.topk_groups,
            "routed_scaling_factor": case.scaling,
            "n_shared_experts": 1,
        }
    return getattr(module, config_class)(**common, **particular)


class Eager:
    """transformers' plain variant: expert by expert."""

    variant: ClassVar[str] = "eager"

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse what no block computes, or a missing or old transformers; imports nothing."""
        if find_spec("transformers") is None:
            return "transformers is not installed; pip install transformers"
        installed = version("transformers")
        if int(installed.split(".")[0]) < FIRST_MAJOR:
            return (
                f"transformers {installed} has no experts_implementation; "
                f"pip install 'transformers>={FIRST_MAJOR}'"
            )
        if case.graph and self.variant == "eager":
            return reads_back("transformers-eager")
        return unsupported(case)

    def build(self, case: MoeLayer, operands: Tensors) -> Step:
        """Load the weights into the block; the step is its forward pass."""
        moe = block(case, operands, self.variant)
        moe.load_state_dict(weights(case, operands), assign=True)
        x = operands["x"][None]

        def step() -> Tensors:
            y = moe(x)
            # gpt-oss's block also returns the router's scores.
            return {"y": (y[0] if isinstance(y, tuple) else y)[0]}

        return step


class GroupedMm(Eager):
    """transformers' variant with torch's grouped product."""

    variant: ClassVar[str] = "grouped_mm"

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse what this variant does not compute."""
        if case.dtype == "float64":
            return "torch's grouped product has no float64"
        if case.graph and not launched_at_once(device):
            return reads_back("torch's grouped product on this device")
        size = DTYPES[case.dtype].bytes
        if case.width * size % 16 or case.intermediate * size % 16:
            return "torch's grouped product needs rows that are multiples of 16 bytes"
        return too_many_groups(device, case.local_experts) or super().unsupported(case, device)


class BatchedMm(Eager):
    """transformers' variant for a few tokens: a batched product, an expert's weights copied per row."""

    variant: ClassVar[str] = "batched_mm"

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse what this variant does not compute."""
        one_expert = case.matrices * case.width * case.intermediate * DTYPES[case.dtype].bytes
        copied = case.tokens * case.top_k * one_expert
        if copied > BATCHED_BYTES:
            return (
                f"transformers' batched_mm would copy {copied / 2**30:.0f} GiB of weights, "
                "one expert's for each row; it is meant for a few tokens"
            )
        return super().unsupported(case, device)
