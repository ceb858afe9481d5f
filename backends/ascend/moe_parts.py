"""The stages of a mixture-of-experts layer on their own, by Ascend's operators."""

from __future__ import annotations

import torch

from backends.ascend.moe import (
    ENDS,
    SPLIT_ROWS,
    gate,
    gate_unsupported,
    route,
    routing_unsupported,
    unpermuted,
)
from backends.torch.implementation import Step, Tensors
from backends.torch.moe.parts import moved
from bench.kernels.grouped_matmul import GroupedMatmul
from bench.kernels.moe.parts import MoeCombine, MoeDispatch, MoeGate

FLOATS = ("float16", "bfloat16", "float32")


class NpuGate:
    """One product, then npu_moe_gating_top_k or npu_moe_gating_top_k_softmax."""

    def unsupported(self, case: MoeGate, device: torch.device) -> str | None:
        """Refuse gates that CANN has no operator for."""
        return gate_unsupported(case)

    def build(self, case: MoeGate, operands: Tensors) -> Step:
        """Compute weights [tokens, top_k] and experts [tokens, top_k] int32."""

        def step() -> Tensors:
            weight, chosen = gate(case, operands)
            return {"weight": weight, "chosen": chosen}

        return step


class NpuDispatch:
    """npu_moe_init_routing_v2: a sort, a gather, and a count in one operator."""

    def unsupported(self, case: MoeDispatch, device: torch.device) -> str | None:
        """Refuse capacities, and dtypes that it does not move."""
        if case.dtype not in FLOATS:
            return f"npu_moe_init_routing_v2 does not move {case.dtype}"
        return routing_unsupported(case, device)

    def build(self, case: MoeDispatch, operands: Tensors) -> Step:
        """Compute rows [assignments, width], counts [experts] and places [tokens, top_k]."""
        chosen = operands["chosen"]
        table = moved(case, operands, chosen, chosen)

        def step() -> Tensors:
            routed = route(case, operands["x"], table)
            return {
                "rows": routed.rows,
                "counts": routed.groups,
                "places": routed.places.view(chosen.shape),
            }

        return step


class NpuCombine:
    """npu_moe_token_unpermute: a gather and a weighted sum in one operator."""

    def unsupported(self, case: MoeCombine, device: torch.device) -> str | None:
        """Refuse capacities, and dtypes that it does not add up."""
        if case.dtype not in FLOATS:
            return f"npu_moe_token_unpermute does not add up {case.dtype}"
        return routing_unsupported(case, device)

    def build(self, case: MoeCombine, operands: Tensors) -> Step:
        """Compute the sums [tokens, width]."""
        rows, weight = operands["rows"], operands["weight"]
        places = operands["places"].flatten()
        table = moved(case, operands, weight, operands["places"])

        def step() -> Tensors:
            sums = unpermuted(rows, places, weight.to(rows.dtype))
            return {"y": table.add_up(sums, case.tokens)}

        return step


class NpuGroupedMatmul:
    """npu_grouped_matmul: one launch for all groups, which the device reads itself."""

    def unsupported(self, case: GroupedMatmul, device: torch.device) -> str | None:
        """Refuse dtypes that CANN does not group (aclnnGroupedMatmulV4, hicann/ops-transformer)."""
        if case.dtype not in (*FLOATS, "int8"):
            return f"npu_grouped_matmul does not multiply {case.dtype}"
        return None

    def build(self, case: GroupedMatmul, operands: Tensors) -> Step:
        """Lay matrices out as [experts, k, n] beforehand; int8 adds up in int32."""
        import torch_npu

        a, b = operands["a"], operands["b"].transpose(1, 2).contiguous()
        ends = operands["ends"].to(torch.int64)
        output = torch.int32 if case.dtype == "int8" else a.dtype

        def step() -> Tensors:
            product = torch_npu.npu_grouped_matmul(
                [a], [b], group_list=ends, group_list_type=ENDS, output_dtype=output, **SPLIT_ROWS
            )
            return {"c": product[0]}

        return step
