"""A mixture-of-experts layer for processors: weights packed once, rows sorted, one weighted sum per token.

Besides the products, a processor spends its time on packing weights again in every call (most of the time at
few rows per expert), on page faults in fresh memory, and on adding rows one expert at a time. So oneDNN packs
the weights when the layer is built, as a server does when it loads a model; rows are gathered into memory
that is reused; and torch's embedding_bag adds up each token's rows in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from backends.torch.implementation import Mark, Step, Tensors, unmarked
from backends.torch.moe.arrivals import Arrivals
from backends.torch.moe.layer import FloatLayer, joined_first, split_first
from backends.torch.moe.loop import activate
from backends.torch.moe.parts import Order, kept_weight, sort_by_expert, weighted_sum
from bench.kernels.moe.layer import MoeLayer


class PackedLinear:
    """x · weightᵀ by oneDNN, with the weight [out, in] packed for about `rows` rows of x."""

    def __init__(self, weight: Tensor, rows: int) -> None:
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply x [rows, in]: [rows, out]."""
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, None, "none", [], "")
        return product


class PackedMlp:
    """One expert, or all shared experts together; the gate and up matrices are one product."""

    def __init__(self, case: MoeLayer, first: Tensor, down: Tensor, rows: int) -> None:
        self._case = case
        self._first = PackedLinear(first, rows)
        self._down = PackedLinear(down, rows)

    def __call__(self, x: Tensor, mark: Mark = unmarked) -> Tensor:
        """Compute [rows, width] for x [rows, width]."""
        product = self._first(x)
        mark("experts")
        activated = activate(self._case, *split_first(self._case, product))
        mark("activation")
        return self._down(activated)


@dataclass(frozen=True)
class SortedRows:
    """The experts' inputs, `rows` [assignments, width] in `order`.

    Expert e has the rows from `starts[e]` to `starts[e + 1]`, int64. `arrived` is the table that dispatch
    was given.
    """

    rows: Tensor
    starts: Tensor
    order: Order
    arrived: Arrivals


class ProcessorLayer(FloatLayer[SortedRows]):
    """The layer around the experts' products, in memory that all calls share.

    A subclass computes `experts` into `self.outputs`, and `shared`.
    """

    def __init__(self, case: MoeLayer, operands: Tensors) -> None:
        """Keep what the gate reads; subclasses keep the experts' weights in layouts of their own."""
        kept = ("x", "router", "planted", "correction_bias", "arrivals", "arrived_experts")
        super().__init__(case, {name: operands[name] for name in kept if name in operands})
        received = len(operands["arrivals"]) if case.ragged else case.tokens * case.top_k
        self.outputs = torch.zeros((received, case.width), dtype=operands["x"].dtype)
        self._gathered = torch.empty_like(self.outputs)
        self._bounds = torch.arange(case.local_experts + 1)
        if case.latent:
            self._latent_in, self._latent_out = (
                PackedLinear(operands[name], case.tokens) for name in ("latent_in", "latent_out")
            )

    def dispatch(self, z: Tensor, arrived: Arrivals) -> SortedRows:
        """Sort assignments by expert and gather their rows."""
        order = sort_by_expert(arrived.local, self.case.capacity)
        starts = torch.searchsorted(order.owners, self._bounds)
        rows = self._gathered[: len(order.owners)]
        torch.index_select(z, 0, arrived.tokens(order.assignments), out=rows)
        return SortedRows(rows, starts, order, arrived)

    def combine(self, rows: Tensor, dispatched: SortedRows) -> Tensor:
        """Weigh and add in one pass, dropped assignments with a weight of zero."""
        arrived = dispatched.arrived
        weight = kept_weight(arrived.weight, arrived.local, self.case.capacity)
        return weighted_sum(rows, weight, dispatched.order.places)

    def latent_in(self, tokens: Tensor) -> Tensor:
        """Multiply by the packed matrix."""
        return self._latent_in(tokens)

    def latent_out(self, y: Tensor) -> Tensor:
        """Multiply by the packed matrix."""
        return self._latent_out(y)


class PackedLayer(ProcessorLayer):
    """Expert by expert, each with packed weights."""

    def __init__(self, case: MoeLayer, operands: Tensors) -> None:
        super().__init__(case, operands)
        rows = -(-len(self.outputs) // case.local_experts)
        names = [name for name in ("gate", "up", "down") if name in operands]
        experts = (
            {name: operands[name][expert] for name in names} for expert in range(case.local_experts)
        )
        self._experts = [
            PackedMlp(case, joined_first(case, matrices), matrices["down"], rows)
            for matrices in experts
        ]
        if case.shared_width:
            first = joined_first(case, operands, prefix="shared_")
            self._shared = PackedMlp(case, first, operands["shared_down"], case.tokens)

    def experts(self, dispatched: SortedRows, mark: Mark) -> Tensor:
        """Compute one expert after the other, those without rows left out."""
        starts = dispatched.starts.tolist()
        counts = [end - start for start, end in pairwise(starts)]
        outputs = self.outputs[: len(dispatched.rows)].split(counts)
        for expert, rows, out in zip(
            self._experts, dispatched.rows.split(counts), outputs, strict=True
        ):
            if len(rows):
                out.copy_(expert(rows, mark))
                mark("experts")
        return self.outputs

    def shared(self, tokens: Tensor) -> Tensor:
        """Compute the shared experts as one MLP."""
        return self._shared(tokens)


class Packed:
    """Sort rows by expert, products with packed weights, and a weighted sum per token."""

    staged: ClassVar[bool] = True

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse other devices, dtypes and training, and processors on which oneDNN has no such products."""
        if device.type != "cpu":
            return "packed computes on processors only"
        if case.backward:
            return "packed computes the forward pass only"
        if case.dtype != "bfloat16":
            return f"packed takes bfloat16 only, not {case.dtype}"
        if not torch.backends.mkldnn.is_available():
            return "this torch has no oneDNN"
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return "oneDNN has no bfloat16 products on this processor (it needs AVX-512 or newer)"
        return None

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Pack the weights; the layer does not keep them as they were."""
        layer = PackedLayer(case, operands)
        return lambda: {"y": layer(mark)}
