"""A mixture-of-experts layer in 8 bits, expert by expert: what int8 and float8 have in common.

Weights have a scale a channel, rows a scale a token. Tokens are quantised once, before they are sent to
their experts, so that dispatch moves one byte a value; between the products, rows are quantised again.
The gate stays in the tokens' own format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from backends.torch.device import Mark, Step, Tensors, reads_back, unmarked
from backends.torch.moe.gate import choose
from backends.torch.moe.loop import activate
from backends.torch.moe.parts import kept_weight, sort_by_expert, weighted_sum
from bench.kernels.moe_layer import MoeLayer

# What a row's largest value becomes.
LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}


def quantise(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return x [rows, n] in 8 bits and each row's scale [rows, 1] float32, which undoes it."""
    scale = x.abs().amax(dim=1, keepdim=True).to(torch.float32).clamp_(min=1e-30) / LARGEST[dtype]
    scaled = x / scale
    return (scaled if dtype.is_floating_point else scaled.round_()).to(dtype), scale


class Linear(ABC):
    """x · weightᵀ for a weight [out, in] in 8 bits with scales [out, 1]."""

    dtype: ClassVar[torch.dtype]

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        self.weight = weight.T
        self.scale = scale.view(1, -1)

    @abstractmethod
    def __call__(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return [rows, out] for x [rows, in] in the same format with scales [rows, 1]."""


def first_names(case: MoeLayer, prefix: str = "") -> list[str]:
    """Return the matrices that are joined to be the first product."""
    return [f"{prefix}{name}" for name in (("gate", "up") if case.gated else ("up",))]


class Mlp:
    """One expert, or all shared ones together; the gate and up matrices are one product."""

    def __init__(
        self,
        case: MoeLayer,
        operands: Tensors,
        linear: type[Linear],
        prefix: str,
        part: Any = ...,
    ) -> None:
        weights, scales = (
            torch.cat([operands[f"{name}{what}"][part] for name in first_names(case, prefix)])
            for what in ("", "_scale")
        )
        self._case = case
        self._first = linear(weights, scales)
        down = operands[f"{prefix}down"][part], operands[f"{prefix}down_scale"][part]
        self._down = linear(*down)

    def __call__(self, x: Tensor, scale: Tensor, mark: Mark = unmarked) -> Tensor:
        """Return [rows, width] for x [rows, width] in 8 bits with scales [rows, 1]."""
        first = self._first(x, scale)
        mark("experts")
        gate, up = first.chunk(2, dim=1) if self._case.gated else (None, first)
        acted = quantise(activate(self._case, up, gate), self._down.dtype)
        mark("activation")
        return self._down(*acted)


def latent_linears(case: MoeLayer, operands: Tensors, linear: type[Linear]) -> list[Linear]:
    """Return the projections before dispatch and after combine, none where there are none."""
    return [
        linear(operands[name], operands[f"{name}_scale"])
        for name in ("latent_in", "latent_out")
        if case.latent
    ]


class Quantized(ABC):
    """Quantise, sort rows by expert, products in 8 bits, and a weighted sum a token."""

    api: ClassVar[str] = "torch"
    kernel: ClassVar[str] = "moe_layer"
    name: ClassVar[str]  # as the format's
    staged: ClassVar[bool] = True
    dtype: ClassVar[str]
    linear: ClassVar[type[Linear]]

    @abstractmethod
    def products_unsupported(self, device: torch.device, *widths: int) -> str | None:
        """Return why torch has no such products of matrices of these widths, or None."""

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why the layer cannot be computed, or None."""
        if case.dtype != self.dtype:
            return f"{self.name} is for layers in {self.dtype}"
        if case.graph:
            return reads_back(self.name)
        widths = case.hidden, case.width, case.intermediate, case.shared_width
        return self.products_unsupported(device, *widths)

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Return the layer; the gate and up matrices are joined beforehand."""
        x, linear = operands["x"], self.linear
        experts = [Mlp(case, operands, linear, "", expert) for expert in range(case.local_experts)]
        shared = Mlp(case, operands, linear, "shared_") if case.shared_width else None
        latent = latent_linears(case, operands, linear)

        def step() -> Tensors:
            weight, chosen = choose(case, operands)
            mark("gate")
            quantised = quantise(x, linear.dtype)
            z, scale = quantised
            if case.latent:
                z, scale = quantise(latent[0](*quantised), linear.dtype)
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
                y = latent[1](*quantise(y, linear.dtype)).to(x.dtype)
            mark("combine")
            if shared is not None:
                y = y + shared(*quantised)
                mark("shared")
            return {"y": y.to(x.dtype)}

        return step
