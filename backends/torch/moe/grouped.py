"""A mixture-of-experts layer by torch's grouped product: all experts in two launches, no host waits.

Rows are sorted by expert, so that each expert's are contiguous; gate and up matrices are one operand,
so that both products are one. Nothing depends on a value that the host would have to read back, which
lets the whole layer be captured into a graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from backends.torch.device import Mark, Step, Tensors, unmarked
from backends.torch.gradients import with_gradients
from backends.torch.grouped_matmul import grouped_mm, grouped_mm_unsupported
from backends.torch.moe.gate import choose
from backends.torch.moe.loop import activate, shared_mlp
from backends.torch.moe.parts import Order, sort_by_expert
from bench.kernels.moe_layer import MoeLayer


class Grouped:
    """Sort rows by expert, two grouped products, and a weighted sum over each token's experts."""

    api: ClassVar[str] = "torch"
    kernel: ClassVar[str] = "moe_layer"
    name: ClassVar[str] = "grouped"
    staged: ClassVar[bool] = True

    def preference(self, device_type: str) -> int | None:
        """Prefer it on accelerators; on a processor it runs expert by expert with more copies."""
        return -1 if device_type == "cpu" else 1

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why torch cannot group these products, or None."""
        if case.capacity is not None:
            return "grouped computes every assignment; it cannot drop those beyond a capacity"
        return grouped_mm_unsupported(case, device, case.width, case.intermediate)

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Return the layer; weights are joined beforehand, as a model would do when it is loaded."""
        joined = {
            **{name: tensor for name, tensor in operands.items() if name not in ("gate", "up")},
            "first": (
                torch.cat([operands["gate"], operands["up"]], dim=1)
                if case.gated
                else operands["up"]
            ),
        }
        forward = self.layer(case, mark)
        if not case.backward:
            return lambda: {"y": forward(joined)}
        step = with_gradients(joined, forward)

        def split() -> Tensors:
            outputs = dict(step())
            first = outputs.pop("d_first")
            if not case.gated:
                return {**outputs, "d_up": first}
            d_gate, d_up = first.chunk(2, dim=1)
            return {**outputs, "d_gate": d_gate, "d_up": d_up}

        return split

    def layer(self, case: MoeLayer, mark: Mark) -> Callable[[Tensors], Tensor]:
        """Return the function from operands, gate and up joined as `first`, to y."""
        return lambda operands: grouped(case, operands, mark)


def group_ends(case: MoeLayer, order: Order) -> Tensor:
    """Return where each expert's rows end [local_experts] int32, without asking the host."""
    experts = torch.arange(case.local_experts, device=order.owners.device)
    return torch.searchsorted(order.owners, experts, right=True).to(torch.int32)


def sum_by_token(case: MoeLayer, rows: Tensor, weight: Tensor, order: Order) -> Tensor:
    """Return the weighted sums of each token's rows, [tokens, width].

    Back in the order of tokens, a token's top_k rows are a matrix, and the sum a product.
    """
    by_token = rows[order.places.flatten()].view(case.tokens, case.top_k, case.width)
    return torch.bmm(weight.to(rows.dtype)[:, None, :], by_token)[:, 0]


def grouped(case: MoeLayer, operands: Tensors, mark: Mark) -> Tensor:
    """Return y [tokens, hidden]."""
    assert grouped_mm is not None
    x = operands["x"]
    weight, chosen = choose(case, operands)
    mark("gate")
    z = x @ operands["latent_in"].T if case.latent else x
    order = sort_by_expert(chosen % case.local_experts, None)
    ends = group_ends(case, order)
    rows = z[order.assignments // case.top_k]
    mark("dispatch")
    first = grouped_mm(rows, operands["first"].transpose(1, 2), offs=ends)
    mark("experts")
    gate, up = first.chunk(2, dim=1) if case.gated else (None, first)
    acted = activate(case, up, gate)
    mark("activation")
    out = grouped_mm(acted, operands["down"].transpose(1, 2), offs=ends)
    mark("experts")
    y = sum_by_token(case, out, weight, order)
    if case.latent:
        y = y @ operands["latent_out"].T
    mark("combine")
    if case.shared_width:
        y = y + shared_mlp(case, x, operands)
        mark("shared")
    return y
