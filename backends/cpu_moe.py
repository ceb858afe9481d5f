"""A mixture-of-experts layer for processors: weights packed once, rows sorted, one weighted sum.

What costs a processor time beside the products is packing weights anew in every call (at few rows an
expert that is most of it), page faults in fresh memory, and adding rows one expert at a time. So
oneDNN lays the weights out when the layer is built, as a server does when it loads a model; rows are
gathered into memory that is kept; and torch's embedding_bag adds each token's rows in one pass.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from backends.torch.implementation import Mark, Step, Tensors, unmarked
from backends.torch.moe.arrivals import arrivals
from backends.torch.moe.gate import choose
from backends.torch.moe.loop import activate
from backends.torch.moe.parts import kept_weight, sort_by_expert, weighted_sum
from bench.kernels.moe.layer import MoeLayer


class Linear:
    """x · weightᵀ by oneDNN, with the weight [out, in] packed for about `rows` rows of x."""

    def __init__(self, weight: Tensor, rows: int) -> None:
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)

    def __call__(self, x: Tensor) -> Tensor:
        """Return [rows, out] for x [rows, in]."""
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, None, "none", [], "")
        return product


class Mlp:
    """One expert, or all shared ones together; the gate and up matrices are one product."""

    def __init__(self, case: MoeLayer, matrices: dict[str, Tensor | None], rows: int) -> None:
        gate, up, down = matrices["gate"], matrices["up"], matrices["down"]
        assert up is not None
        assert down is not None
        self._case = case
        self._first = Linear(up if gate is None else torch.cat([gate, up]), rows)
        self._down = Linear(down, rows)

    def __call__(self, x: Tensor, mark: Mark = unmarked) -> Tensor:
        """Return [rows, width] for x [rows, width]."""
        first = self._first(x)
        mark("experts")
        gate, up = first.chunk(2, dim=1) if self._case.gated else (None, first)
        acted = activate(self._case, up, gate)
        mark("activation")
        return self._down(acted)


class Packed:
    """Sort rows by expert, products with packed weights, and a weighted sum a token."""

    staged: ClassVar[bool] = True

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why the weights cannot be packed here, or None."""
        if device.type != "cpu":
            return "packed weights are a processor's"
        if case.backward:
            return "packed weights serve the forward pass only"
        if case.dtype != "bfloat16":
            return "packed has a bfloat16 path only"
        if not torch.backends.mkldnn.is_available():
            return "this torch has no oneDNN"
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return "oneDNN has no bfloat16 products on this processor (it needs AVX-512 or newer)"
        return None

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Return the layer; the unpacked weights are not kept."""
        rows = -(-case.tokens * case.top_k // case.local_experts)
        experts = [
            Mlp(case, _matrices(operands, "", expert), rows) for expert in range(case.local_experts)
        ]
        shared = (
            Mlp(case, _matrices(operands, "shared_"), case.tokens) if case.shared_width else None
        )
        latent = [
            Linear(operands[name], case.tokens)
            for name in ("latent_in", "latent_out")
            if case.latent
        ]
        names = ("x", "router", "planted", "correction_bias", "arrivals", "arrived_experts")
        kept = {name: operands[name] for name in names if name in operands}
        return _step(case, kept, experts, shared, latent, mark)


def _matrices(operands: Tensors, prefix: str, part: Any = ...) -> dict[str, Tensor | None]:
    names = {name: operands.get(f"{prefix}{name}") for name in ("gate", "up", "down")}
    return {name: None if found is None else found[part] for name, found in names.items()}


def _step(
    case: MoeLayer,
    kept: Tensors,
    experts: list[Mlp],
    shared: Mlp | None,
    latent: list[Linear],
    mark: Mark,
) -> Step:
    x = kept["x"]
    received = len(kept["arrivals"]) if case.ragged else case.tokens * case.top_k
    gathered = torch.empty((received, case.width), dtype=x.dtype)
    served = torch.empty_like(gathered)

    def step() -> Tensors:
        weight, chosen = choose(case, kept)
        mark("gate")
        z = latent[0](x) if case.latent else x
        arrived = arrivals(case, kept, weight, chosen)
        order = sort_by_expert(arrived.local, case.capacity)
        counts = torch.bincount(order.owners, minlength=case.local_experts).tolist()
        rows = gathered[: len(order.owners)]
        torch.index_select(z, 0, arrived.tokens(order.assignments), out=rows)
        mark("dispatch")
        for expert, mine, out in zip(
            experts, rows.split(counts), served[: len(rows)].split(counts), strict=True
        ):
            if len(mine):
                out.copy_(expert(mine, mark))
                mark("experts")
        weight = kept_weight(arrived.weight, arrived.local, case.capacity)
        y = arrived.add_up(weighted_sum(served, weight, order.places), case.tokens, z)
        if case.latent:
            y = latent[1](y)
        mark("combine")
        if shared is not None:
            y = y + shared(x)
            mark("shared")
        return {"y": y}

    return step
