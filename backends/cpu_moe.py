"""A mixture-of-experts layer for processors: weights packed once, rows sorted, one weighted sum.

What costs a processor time beside the products is packing weights anew in every call (at few rows an
expert that is most of it), page faults in fresh memory, and adding rows one expert at a time. So
oneDNN lays the weights out when the layer is built, as a server does when it loads a model; rows are
gathered into memory that is kept; and torch's embedding_bag adds each token's rows in one pass.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.torch_device import Step, Tensors
from backends.torch_moe import activate, choose
from bench.kernels.moe_layer import MoeLayer


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

    def __call__(self, x: Tensor) -> Tensor:
        """Return [rows, width] for x [rows, width]."""
        first = self._first(x)
        gate, up = first.chunk(2, dim=1) if self._case.gated else (None, first)
        return self._down(activate(self._case, up, gate))


class Packed:
    """Sort rows by expert, products with packed weights, and a weighted sum a token."""

    api: ClassVar[str] = "torch"
    kernel: ClassVar[str] = "moe_layer"
    name: ClassVar[str] = "packed"

    def preference(self, device_type: str) -> int | None:
        """Prefer it on processors; docs/moe.md has the figures."""
        return 1 if device_type == "cpu" else None

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why the weights cannot be packed here, or None."""
        if device.type != "cpu":
            return "packed weights are a processor's"
        if case.dtype != "bfloat16":
            return "packed has a bfloat16 path only"
        if not torch.backends.mkldnn.is_available():
            return "this torch has no oneDNN"
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return "oneDNN has no bfloat16 products on this processor (it needs AVX-512 or newer)"
        return None

    def build(self, case: MoeLayer, operands: Tensors) -> Step:
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
        names = ("x", "router", "planted", "correction_bias")
        kept = {name: operands[name] for name in names if name in operands}
        return _step(case, kept, experts, shared, latent)


def _matrices(operands: Tensors, prefix: str, part: Any = ...) -> dict[str, Tensor | None]:
    names = {name: operands.get(f"{prefix}{name}") for name in ("gate", "up", "down")}
    return {name: None if found is None else found[part] for name, found in names.items()}


def _step(
    case: MoeLayer, kept: Tensors, experts: list[Mlp], shared: Mlp | None, latent: list[Linear]
) -> Step:
    x = kept["x"]
    assignments = case.tokens * case.top_k
    gathered = torch.empty((assignments, case.width), dtype=x.dtype)
    served = torch.empty_like(gathered)
    places = torch.arange(assignments)
    back = torch.empty_like(places)

    def step() -> Tensors:
        weight, chosen = choose(case, kept)
        z = latent[0](x) if case.latent else x
        assigned, order = (chosen % case.local_experts).flatten().sort(stable=True)
        counts = torch.bincount(assigned, minlength=case.local_experts).tolist()
        torch.index_select(z, 0, order // case.top_k, out=gathered)
        for expert, rows, out in zip(
            experts, gathered.split(counts), served.split(counts), strict=True
        ):
            if len(rows):
                out.copy_(expert(rows))
        back[order] = places
        by_token = back.view(case.tokens, case.top_k)
        weights = weight.to(x.dtype)
        y = F.embedding_bag(by_token, served, per_sample_weights=weights, mode="sum")
        if case.latent:
            y = latent[1](y)
        return {"y": y if shared is None else y + shared(x)}

    return step
