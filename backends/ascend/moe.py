"""A mixture-of-experts layer by the operators that Ascend's inference servers use.

The sequence is vllm-ascend's on a 910B in bfloat16: gating, npu_moe_init_routing_v2, grouped product,
npu_swiglu, grouped product, npu_moe_token_unpermute with the router's weights. `npu-finalize` ends in
npu_moe_finalize_routing instead, which vllm-ascend avoids for accuracy; verification decides here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from backends.ascend.matmul import fractal_nz
from backends.ascend.node import npu
from backends.torch.implementation import Mark, Step, Tensors, unmarked
from backends.torch.moe.arrivals import Arrivals
from backends.torch.moe.gate import choose
from backends.torch.moe.layer import FloatLayer, joined_first, split_first
from backends.torch.moe.loop import activate
from bench.kernels.moe.base import RoutedKernel
from bench.kernels.moe.gated import GatedKernel
from bench.kernels.moe.layer import MoeLayer

SPLIT_ROWS = {"split_item": 2, "group_type": 0}  # one x, one y
ENDS, COUNTS = 0, 1  # expert_tokens_num_type and group_list_type: where groups end, or their sizes

NOT_QUANTIZED = -1  # npu_moe_init_routing_v2's quant_mode

NO_CAPACITY = "CANN's routing keeps every assignment; it cannot drop those beyond a capacity"

LayOut = Callable[[Tensor], Tensor]
AddUp = Callable[[Tensor, Tensor, Tensor], Tensor]

NO_ROUTING_310P = (
    "npu_moe_init_routing_v2 is for the 910B and newer (aclnnMoeInitRoutingV3); this is an {}"
)

# npu_moe_gating_top_k: how groups are ranked, and which function scores.
BY_TWO_BEST = 1
SIGMOID = 1


@dataclass(frozen=True)
class Routed:
    """Rows sorted by local expert, as npu_moe_init_routing_v2 leaves them.

    `places` are the assignments' rows, `groups` the rows per expert or where they end, int64; `scales`
    [rows] belong to quantized rows and carry no information otherwise.
    """

    rows: Tensor
    places: Tensor
    groups: Tensor
    scales: Tensor
    weight: Tensor  # [rows of the table, slots]


class NpuLayer(FloatLayer[Routed]):
    """A layer whose gate is one operator where CANN has the model's."""

    def gate(self) -> tuple[Tensor, Tensor]:
        """Choose by npu_moe_gating_top_k(_softmax), or by torch's operators."""
        if gate_unsupported(self.case):
            weight, chosen = choose(self.case, self.operands)
        else:
            weight, chosen = gate(self.case, self.operands)
        # A ragged layer sorts its choice; the AI cores sort floats only, which hold these numbers exactly.
        return weight, chosen.to(torch.float32) if self.case.ragged else chosen


class FusedLayer(NpuLayer):
    """Grouped products in float16 or bfloat16."""

    def __init__(self, case: MoeLayer, operands: Tensors, lay_out: LayOut, add_up: AddUp) -> None:
        super().__init__(case, without_experts(operands))
        # [experts, width, 2 · intermediate] of gate beside up, and [experts, intermediate, width].
        self._first = lay_out(joined_first(case, operands).transpose(1, 2))
        self._second = lay_out(operands["down"].transpose(1, 2))
        self._add_up = add_up

    def dispatch(self, z: Tensor, arrived: Arrivals) -> Routed:
        """Sort and gather by one operator."""
        return route(self.case, z, arrived)

    def experts(self, dispatched: Routed, mark: Mark) -> Tensor:
        """Launch two grouped products and the activation between them."""
        product = grouped_product(dispatched.rows, self._first, dispatched.groups)
        mark("experts")
        activated = swiglu(self.case, product)
        mark("activation")
        return grouped_product(activated, self._second, dispatched.groups)

    def combine(self, rows: Tensor, dispatched: Routed) -> Tensor:
        """Weigh and add by one operator."""
        return self._add_up(rows, dispatched.places, dispatched.weight.to(rows.dtype))


class NpuFused:
    """Rows sorted by expert on the device, two grouped products, one weighted sum per token."""

    staged: ClassVar[bool] = True

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse what CANN does not group."""
        if case.dtype not in ("float16", "bfloat16"):
            return "npu-fused layers have a float16 and a bfloat16 path only"
        if case.backward:
            return "npu-fused layers serve the forward pass only"
        return routing_unsupported(case, device)

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Lay the weights out beforehand, as a server does when it loads them."""
        layer = FusedLayer(case, operands, self.lay_out, self.add_up)
        return lambda: {"y": layer(mark)}

    def lay_out(self, weight: Tensor) -> Tensor:
        """Lay experts' matrices [experts, in, out] out as the grouped product is to read them."""
        return weight.contiguous()

    def add_up(self, rows: Tensor, places: Tensor, weight: Tensor) -> Tensor:
        """Add up each token's weighted rows at its places: [tokens, width]."""
        return unpermuted(rows, places, weight)


class NpuFusedNz(NpuFused):
    """The same, with the experts' matrices in FRACTAL_NZ."""

    def lay_out(self, weight: Tensor) -> Tensor:
        """Convert the matrices to FRACTAL_NZ."""
        return fractal_nz(weight)


class NpuFinalize(NpuFused):
    """The same, with npu_moe_finalize_routing for the sum."""

    def add_up(self, rows: Tensor, places: Tensor, weight: Tensor) -> Tensor:
        """Read places token by token (drop_pad_mode 2), as routing wrote them."""
        import torch_npu

        sums: Tensor = torch_npu.npu_moe_finalize_routing(
            rows, None, None, None, weight, places, None, drop_pad_mode=2
        )
        return sums


def without_experts(operands: Tensors) -> Tensors:
    """Leave out the experts' matrices, so that the device holds only the copies in their new layout."""
    experts = ("gate", "up", "down")
    return {
        name: tensor
        for name, tensor in operands.items()
        if name.removesuffix("_scale") not in experts
    }


def routing_unsupported(case: RoutedKernel, device: torch.device) -> str | None:
    """Say why npu_moe_init_routing_v2 cannot sort a case's rows; None if it can."""
    if case.capacity is not None:
        return NO_CAPACITY
    if device.type == "npu" and "310P" in (name := npu().get_device_name(device.index)):
        return NO_ROUTING_310P.format(name)
    return None


def gate_unsupported(case: GatedKernel) -> str | None:
    """Say why CANN has no operator for a case's gate; None if it has."""
    if case.gate == "sigmoid":
        return (
            None if case.normalize else "npu_moe_gating_top_k normalizes the weights of a sigmoid"
        )
    if case.gate != "softmax":
        return f"CANN has no gate that scores by {case.gate}"
    if case.groups > 1 or case.correction_bias:
        return "npu_moe_gating_top_k_softmax has neither groups nor a correction bias"
    return None


def gate(case: GatedKernel, operands: Tensors) -> tuple[Tensor, Tensor]:
    """Choose weights and experts [tokens, top_k] int32 by the operator that CANN has for the gate."""
    import torch_npu

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
    case: RoutedKernel,
    z: Tensor,
    arrived: Arrivals,
    quant_mode: int = NOT_QUANTIZED,
    groups: int = COUNTS,
) -> Routed:
    """Sort the rows of z by the experts at which they arrived, and quantize them if asked to."""
    import torch_npu

    rows, places, number, scales = torch_npu.npu_moe_init_routing_v2(
        arrived.rows(z),
        arrived.local.to(torch.int32),
        active_num=arrived.local.numel(),
        expert_num=case.local_experts,
        expert_tokens_num_type=groups,
        expert_tokens_num_flag=True,
        active_expert_range=[0, case.local_experts],
        quant_mode=quant_mode,
        row_idx_type=0,
    )
    # With CANN before 8.5, 128 experts with rows of 2048 take an older operator, which counts in int32.
    return Routed(rows, places, number.to(torch.int64), scales, arrived.weight)


def unpermuted(rows: Tensor, places: Tensor, weight: Tensor) -> Tensor:
    """Add up each token's weighted rows by npu_moe_token_unpermute: [tokens, width]."""
    import torch_npu

    sums: Tensor = torch_npu.npu_moe_token_unpermute(rows, places, probs=weight)
    return sums


def grouped_product(rows: Tensor, weight: Tensor, counts: Tensor) -> Tensor:
    """Multiply each row by the matrix of its expert; weights are [experts, in, out]."""
    import torch_npu

    product: Tensor = torch_npu.npu_grouped_matmul(
        [rows], [weight], group_list=counts, group_list_type=COUNTS, **SPLIT_ROWS
    )[0]
    return product


def swiglu(case: MoeLayer, first: Tensor) -> Tensor:
    """Apply the activation to the first product, by one operator where it is SwiGLU."""
    import torch_npu

    if case.gated and case.activation == "silu":
        acted: Tensor = torch_npu.npu_swiglu(first)
        return acted
    return activate(case, *split_first(case, first))
