"""A mixture-of-experts layer in int8: weights with a scale a channel, rows with a scale a token.

Tokens are quantised once, before they are sent to their experts, so that dispatch moves one byte a
value; between the products, rows are quantised again. The gate stays in the tokens' own format.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from backends.torch_device import Mark, Step, Tensors, reads_back, unmarked
from backends.torch_matmul import has_kernel, int8_product, int8_unsupported
from backends.torch_moe import activate
from backends.torch_moe_gate import choose
from backends.torch_moe_parts import kept_weight, sort_by_expert, weighted_sum
from bench.kernels.moe_layer import MoeLayer


def quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return x [rows, n] as int8 and each row's scale [rows, 1] float32: its largest value is 127."""
    scale = x.abs().amax(dim=1, keepdim=True).to(torch.float32).clamp_(min=1e-30) / 127
    return (x / scale).round_().to(torch.int8), scale


class Linear:
    """x · weightᵀ for an int8 weight [out, in] with scales [out, 1]."""

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        self._weight = weight.T
        self._scale = scale.view(1, -1)

    def __call__(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return [rows, out] float32 for x [rows, in] int8 with scales [rows, 1]."""
        product = int8_product(x, self._weight)
        return product.to(torch.float32).mul_(scale).mul_(self._scale)


class Mlp:
    """One expert, or all shared ones together; the gate and up matrices are one product."""

    def __init__(self, case: MoeLayer, operands: Tensors, prefix: str, part: Any = ...) -> None:
        names = ["gate", "up"] if case.gated else ["up"]
        weights, scales = (
            torch.cat([operands[f"{prefix}{name}{what}"][part] for name in names])
            for what in ("", "_scale")
        )
        self._case = case
        self._first = Linear(weights, scales)
        down = operands[f"{prefix}down"][part], operands[f"{prefix}down_scale"][part]
        self._down = Linear(*down)

    def __call__(self, x: Tensor, scale: Tensor, mark: Mark = unmarked) -> Tensor:
        """Return [rows, width] float32 for x [rows, width] int8 with scales [rows, 1]."""
        first = self._first(x, scale)
        mark("experts")
        gate, up = first.chunk(2, dim=1) if self._case.gated else (None, first)
        acted = quantise(activate(self._case, up, gate))
        mark("activation")
        return self._down(*acted)


class Int8:
    """Quantise, sort rows by expert, int8 products, and a weighted sum a token."""

    api: ClassVar[str] = "torch"
    kernel: ClassVar[str] = "moe_layer"
    name: ClassVar[str] = "int8"
    staged: ClassVar[bool] = True

    def preference(self, device_type: str) -> int | None:
        """Return 0, as the only one for its format; None where torch has no int8 product."""
        return 0 if has_kernel("aten::_int_mm", torch.device(device_type)) else None

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why torch has no such products, or None."""
        if case.dtype != "int8":
            return "int8 is for layers in int8"
        if case.graph:
            return reads_back(self.name)
        widths = case.hidden, case.width, case.intermediate, case.shared_width
        return int8_unsupported(device, *widths)

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Return the layer; the gate and up matrices are joined beforehand."""
        x = operands["x"]
        experts = [Mlp(case, operands, "", expert) for expert in range(case.local_experts)]
        shared = Mlp(case, operands, "shared_") if case.shared_width else None
        latent = [
            Linear(operands[name], operands[f"{name}_scale"])
            for name in ("latent_in", "latent_out")
            if case.latent
        ]

        def step() -> Tensors:
            weight, chosen = choose(case, operands)
            mark("gate")
            quantised = quantise(x)
            z, scale = quantise(latent[0](*quantised)) if case.latent else quantised
            local = chosen % case.local_experts
            order = sort_by_expert(local, case.capacity)
            tokens = order.assignments // case.top_k
            counts = torch.bincount(order.owners, minlength=case.local_experts).tolist()
            rows, scales = z.index_select(0, tokens), scale.index_select(0, tokens)
            mark("dispatch")
            served = torch.empty((len(rows), case.width), dtype=x.dtype, device=x.device)
            start = 0
            for expert, count in zip(experts, counts, strict=True):
                if count:
                    mine = slice(start, start + count)
                    served[mine] = expert(rows[mine], scales[mine], mark)
                    start += count
                    mark("experts")
            y = weighted_sum(served, kept_weight(weight, local, case.capacity), order.places)
            if case.latent:
                y = latent[1](*quantise(y)).to(x.dtype)
            mark("combine")
            if shared is not None:
                y = y + shared(*quantised)
                mark("shared")
            return {"y": y.to(x.dtype)}

        return step
