"""A mixture-of-experts layer by the operators that Ascend's inference servers use.

The sequence is vllm-ascend's on a 910B in bfloat16: gating, npu_moe_init_routing_v2, grouped product,
npu_swiglu, grouped product, npu_moe_token_unpermute with the router's weights. `npu-finalize` ends in
npu_moe_finalize_routing instead, which vllm-ascend avoids for accuracy; verification decides here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from backends.ascend.matmul import fractal_nz
from backends.torch.device import Mark, Step, Tensors, unmarked
from backends.torch.moe.gate import choose
from backends.torch.moe.loop import activate, shared_mlp
from bench.kernels.moe_layer import MoeLayer

SPLIT_ROWS = {"split_item": 2, "group_type": 0, "group_list_type": 1}  # one x, one y, counts

NOT_QUANTISED = -1  # npu_moe_init_routing_v2's quant_mode

# npu_moe_gating_top_k: how groups are ranked, and which function scores.
BY_TWO_BEST = 1
SIGMOID = 1


class NpuFused:
    """Rows sorted by expert on the device, two grouped products, one weighted sum a token."""

    api: ClassVar[str] = "torch"
    kernel: ClassVar[str] = "moe_layer"
    name: ClassVar[str] = "npu-fused"
    staged: ClassVar[bool] = True

    def preference(self, device_type: str) -> int | None:
        """Prefer it on NPUs."""
        return 4 if device_type == "npu" else None

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why CANN cannot group these products, or None."""
        if case.dtype not in ("float16", "bfloat16"):
            return f"{self.name} has a float16 and a bfloat16 path only"
        if case.backward:
            return f"{self.name} serves the forward pass only"
        if case.capacity is not None:
            return f"{self.name} computes every assignment; it cannot drop those beyond a capacity"
        return None

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Return the layer; weights are laid out beforehand, as a server does when it loads them."""
        x = operands["x"]
        first, second = expert_weights(case, operands, self.lay_out)

        def step() -> Tensors:
            weight, chosen = gate(case, operands)
            mark("gate")
            z = x @ operands["latent_in"].T if case.latent else x
            rows, places, counts, _ = route(case, z, chosen)
            mark("dispatch")
            product = grouped_product(rows, first, counts)
            mark("experts")
            acted = swiglu(case, product)
            mark("activation")
            out = grouped_product(acted, second, counts)
            mark("experts")
            y = self.combine(out, places, weight.to(x.dtype))
            if case.latent:
                y = y @ operands["latent_out"].T
            mark("combine")
            if case.shared_width:
                y = y + shared_mlp(case, x, operands)
                mark("shared")
            return {"y": y}

        return step

    def lay_out(self, weight: Tensor) -> Tensor:
        """Return experts' matrices [experts, in, out] as the grouped product is to read them."""
        return weight.contiguous()

    def combine(self, rows: Tensor, places: Tensor, weight: Tensor) -> Tensor:
        """Return each token's weighted sum [tokens, width] of the rows at its places."""
        import torch_npu

        sums: Tensor = torch_npu.npu_moe_token_unpermute(rows, places, probs=weight)
        return sums


class NpuFusedNz(NpuFused):
    """The same, with the experts' matrices in FRACTAL_NZ."""

    name: ClassVar[str] = "npu-fused-nz"

    def preference(self, device_type: str) -> int | None:
        """Offer it behind the plain format, until a real chip has shown which is faster."""
        return 3 if device_type == "npu" else None

    def lay_out(self, weight: Tensor) -> Tensor:
        """Return the matrices in FRACTAL_NZ."""
        return fractal_nz(weight)


class NpuFinalize(NpuFused):
    """The same, with npu_moe_finalize_routing for the sum."""

    name: ClassVar[str] = "npu-finalize"

    def preference(self, device_type: str) -> int | None:
        """Offer it behind the other sum."""
        return 2 if device_type == "npu" else None

    def combine(self, rows: Tensor, places: Tensor, weight: Tensor) -> Tensor:
        """Return the sums; drop_pad_mode 2 reads places token by token, as routing wrote them."""
        import torch_npu

        sums: Tensor = torch_npu.npu_moe_finalize_routing(
            rows, None, None, None, weight, places, None, drop_pad_mode=2
        )
        return sums


def expert_weights(
    case: MoeLayer, operands: Tensors, lay_out: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return [experts, width, 2 · intermediate] of gate beside up, and [experts, intermediate, width]."""
    up = operands["up"]
    first = torch.cat([operands["gate"], up], dim=1) if case.gated else up
    return lay_out(first.transpose(1, 2)), lay_out(operands["down"].transpose(1, 2))


def gate(case: MoeLayer, operands: Tensors) -> tuple[Tensor, Tensor]:
    """Return weights and experts [tokens, top_k], by one operator where CANN has the model's gate."""
    import torch_npu

    plain = case.groups == 1 and not case.correction_bias
    deepseek = case.gate == "sigmoid" and case.normalize
    if not deepseek and not (case.gate == "softmax" and plain):
        return choose(case, operands)
    logits = (operands["x"] @ operands["router"].T).to(torch.float32) + operands["planted"]
    if case.gate == "softmax":
        weight, chosen, _ = torch_npu.npu_moe_gating_top_k_softmax(logits, k=case.top_k)
        if case.normalize:
            weight = weight / weight.sum(dim=-1, keepdim=True)
        return weight * case.scaling, chosen
    weight, chosen, _ = torch_npu.npu_moe_gating_top_k(
        logits,
        case.top_k,
        bias=operands.get("correction_bias"),
        k_group=case.topk_groups,
        group_count=case.groups,
        group_select_mode=BY_TWO_BEST,
        norm_type=SIGMOID,
        routed_scaling_factor=case.scaling,
    )
    return weight, chosen


def route(
    case: MoeLayer, z: Tensor, chosen: Tensor, quant_mode: int = NOT_QUANTISED
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return rows of z sorted by local expert, each assignment's place there, rows an expert, scales.

    The scales are those of the rows, and mean nothing where these are not quantised.
    """
    import torch_npu

    experts = case.local_experts
    rows, places, counts, scales = torch_npu.npu_moe_init_routing_v2(
        z,
        (chosen % experts).to(torch.int32),
        active_num=case.tokens * case.top_k,
        expert_num=experts,
        expert_tokens_num_type=1,
        expert_tokens_num_flag=True,
        active_expert_range=[0, experts],
        quant_mode=quant_mode,
        row_idx_type=0,
    )
    return rows, places, counts, scales


def grouped_product(rows: Tensor, weight: Tensor, counts: Tensor) -> Tensor:
    """Return each row times the matrix of its expert; weight lies [experts, in, out]."""
    import torch_npu

    product: Tensor = torch_npu.npu_grouped_matmul(
        [rows], [weight], group_list=counts, **SPLIT_ROWS
    )[0]
    return product


def swiglu(case: MoeLayer, first: Tensor) -> Tensor:
    """Return the activation of the first product, by one operator where it is SwiGLU."""
    import torch_npu

    if case.gated and case.activation == "silu":
        acted: Tensor = torch_npu.npu_swiglu(first)
        return acted
    if not case.gated:
        return activate(case, first, None)
    gate_half, up_half = first.chunk(2, dim=1)
    return activate(case, up_half, gate_half)
