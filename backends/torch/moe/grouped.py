"""A mixture-of-experts layer by torch's grouped product: all experts in two launches, no host waits.

Rows are sorted by expert, so that each expert's are contiguous; gate and up matrices are one operand,
so that both products are one. Nothing depends on a value that the host would have to read back, which
lets the whole layer be captured into a graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from backends.torch.gradients import with_gradients
from backends.torch.grouped_matmul import grouped_mm, grouped_mm_unsupported
from backends.torch.implementation import Mark, Step, Tensors, unmarked
from backends.torch.moe.arrivals import Arrivals
from backends.torch.moe.layer import FloatLayer, joined_first, split_first
from backends.torch.moe.loop import activate
from backends.torch.moe.parts import Order, sort_by_expert
from bench.kernels.moe.layer import MoeLayer


class Grouped:
    """Sort rows by expert, two grouped products, and a weighted sum over each token's experts."""

    staged: ClassVar[bool] = True

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse capacities, and products that torch cannot group."""
        if case.capacity is not None:
            return "grouped computes every assignment; it cannot drop those beyond a capacity"
        return grouped_mm_unsupported(
            case, device, case.local_experts, case.width, case.intermediate
        )

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Join gate and up matrices beforehand, as a model does when it is loaded."""
        joined = {
            **{name: tensor for name, tensor in operands.items() if name not in ("gate", "up")},
            "first": joined_first(case, operands),
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
        """Make the function from operands, gate and up joined as `first`, to y."""
        return lambda operands: GroupedLayer(case, operands)(mark)


@dataclass(frozen=True)
class Dispatched:
    """Rows [assignments, width] in `order`, each expert's last + 1 in `ends` [experts] int32."""

    rows: Tensor
    ends: Tensor
    order: Order
    weight: Tensor  # [rows of the table, slots]


class GroupedLayer(FloatLayer[Dispatched]):
    """The layer with gate and up matrices joined as the operand `first`."""

    def dispatch(self, z: Tensor, arrived: Arrivals) -> Dispatched:
        """Sort assignments by expert and gather their rows."""
        order = sort_by_expert(arrived.local, None)
        ends = group_ends(self.case, order)
        return Dispatched(z[arrived.tokens(order.assignments)], ends, order, arrived.weight)

    def experts(self, dispatched: Dispatched, mark: Mark) -> Tensor:
        """Launch two grouped products and the activation between them."""
        assert grouped_mm is not None
        first, down = self.operands["first"], self.operands["down"]
        product = grouped_mm(dispatched.rows, first.transpose(1, 2), offs=dispatched.ends)
        mark("experts")
        activated = activate(self.case, *split_first(self.case, product))
        mark("activation")
        rows: Tensor = grouped_mm(activated, down.transpose(1, 2), offs=dispatched.ends)
        return rows

    def combine(self, rows: Tensor, dispatched: Dispatched) -> Tensor:
        """Weigh and add by one batched product."""
        return sum_by_token(rows, dispatched.weight, dispatched.order)


def group_ends(case: MoeLayer, order: Order) -> Tensor:
    """Find where each expert's rows end [local_experts] int32, without asking the host."""
    experts = torch.arange(case.local_experts, device=order.owners.device)
    return torch.searchsorted(order.owners, experts, right=True).to(torch.int32)


def sum_by_token(rows: Tensor, weight: Tensor, order: Order) -> Tensor:
    """Add up each token's weighted rows: [tokens, width].

    Back in the order of tokens, a token's top_k rows are a matrix, and the sum a product.
    """
    by_token = rows[order.places.flatten()].view(*weight.shape, rows.shape[1])
    return torch.bmm(weight.to(rows.dtype)[:, None, :], by_token)[:, 0]
