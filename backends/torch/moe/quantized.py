"""A mixture-of-experts layer in 8 bits: what int8 and float8 have in common.

Weights have per-channel scales, rows per-token scales. Tokens are quantized once, before they are sent to
their experts, so that dispatch moves one byte per value; between the products, rows are quantized again.
The gate stays in the tokens' own format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from backends.torch.implementation import Mark, Step, Tensors, reads_back, unmarked
from backends.torch.moe.arrivals import Arrivals
from backends.torch.moe.layer import Layer, joined_first, split_first
from backends.torch.moe.loop import activate
from backends.torch.moe.parts import Order, kept_weight, sort_by_expert, weighted_sum
from bench.kernels.moe.layer import MoeLayer

# The magnitude that a row's largest value is scaled to.
LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}

D = TypeVar("D")
Scaled = tuple[Tensor, Tensor]  # values [rows, n] in 8 bits, and scales [rows, 1] float32


def quantize(x: Tensor, dtype: torch.dtype) -> Scaled:
    """Convert x [rows, n] to 8 bits, with the scale per row that undoes it."""
    scale = x.abs().amax(dim=1, keepdim=True).to(torch.float32).clamp_(min=1e-30) / LARGEST[dtype]
    scaled = x / scale
    return (scaled if dtype.is_floating_point else scaled.round_()).to(dtype), scale


class QuantizedLinear(ABC):
    """x · weightᵀ for a weight [out, in] in 8 bits with scales [out, 1]."""

    dtype: ClassVar[torch.dtype]

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        self.weight = weight.T
        self.scale = scale.view(1, -1)

    @abstractmethod
    def __call__(self, x: Tensor, scale: Tensor) -> Tensor:
        """Multiply x [rows, in] in the same format with scales [rows, 1]: [rows, out]."""


class QuantizedMlp:
    """One expert, or all shared ones together; the gate and up matrices are one product."""

    def __init__(self, case: MoeLayer, first: QuantizedLinear, down: QuantizedLinear) -> None:
        self._case = case
        self._first = first
        self._down = down

    def __call__(self, x: Tensor, scale: Tensor, mark: Mark = unmarked) -> Tensor:
        """Compute [rows, width] for x [rows, width] in 8 bits with scales [rows, 1]."""
        product = self._first(x, scale)
        mark("experts")
        activated = quantize(
            activate(self._case, *split_first(self._case, product)), self._down.dtype
        )
        mark("activation")
        return self._down(*activated)


class QuantizedLayer(Layer[Scaled, D]):
    """A layer whose latent projections and shared experts are products in 8 bits, too."""

    def __init__(self, case: MoeLayer, operands: Tensors, linear: type[QuantizedLinear]) -> None:
        super().__init__(case, operands)
        self._linear = linear
        if case.latent:
            self._latent_in, self._latent_out = (
                linear(operands[name], operands[f"{name}_scale"])
                for name in ("latent_in", "latent_out")
            )
        if case.shared_width:
            self._shared = QuantizedMlp(
                case,
                linear(
                    joined_first(case, operands, prefix="shared_"),
                    joined_first(case, operands, prefix="shared_", suffix="_scale"),
                ),
                linear(operands["shared_down"], operands["shared_down_scale"]),
            )

    def tokens(self, x: Tensor) -> Scaled:
        """Quantize each token."""
        return quantize(x, self._linear.dtype)

    def floating(self, z: Scaled) -> Tensor:
        """Multiply by the scales."""
        values, scale = z
        return (values.to(torch.float32) * scale).to(self.operands["x"].dtype)

    def latent_in(self, tokens: Scaled) -> Scaled:
        """Project, and quantize again."""
        return quantize(self._latent_in(*tokens), self._linear.dtype)

    def latent_out(self, y: Tensor) -> Tensor:
        """Quantize the sums, and project them back."""
        return self._latent_out(*quantize(y, self._linear.dtype)).to(self.operands["x"].dtype)

    def shared(self, tokens: Scaled) -> Tensor:
        """Compute the shared experts from the quantized tokens."""
        return self._shared(*tokens)


@dataclass(frozen=True)
class QuantizedTokens:
    """Rows in 8 bits in `order`, with their scales [rows, 1]; `counts` rows per expert."""

    rows: Tensor
    scales: Tensor
    counts: list[int]
    order: Order
    arrived: Arrivals


class ExpertByExpert(QuantizedLayer[QuantizedTokens]):
    """The layer by one MLP per expert, whose rows the host counts."""

    def __init__(self, case: MoeLayer, operands: Tensors, linear: type[QuantizedLinear]) -> None:
        super().__init__(case, operands, linear)
        matrices = (
            joined_first(case, operands),
            joined_first(case, operands, suffix="_scale"),
            operands["down"],
            operands["down_scale"],
        )
        self._experts = [
            QuantizedMlp(case, linear(first, first_scale), linear(down, down_scale))
            for first, first_scale, down, down_scale in zip(
                *(matrix.unbind() for matrix in matrices), strict=True
            )
        ]

    def dispatch(self, z: Scaled, arrived: Arrivals) -> QuantizedTokens:
        """Sort assignments by expert, and gather their rows and scales."""
        order = sort_by_expert(arrived.local, self.case.capacity)
        tokens = arrived.tokens(order.assignments)
        counts = torch.bincount(order.owners, minlength=self.case.local_experts).tolist()
        rows, scales = (part.index_select(0, tokens) for part in z)
        return QuantizedTokens(rows, scales, counts, order, arrived)

    def experts(self, dispatched: QuantizedTokens, mark: Mark) -> Tensor:
        """Compute one expert after the other, those without rows left out."""
        rows, scales, x = dispatched.rows, dispatched.scales, self.operands["x"]
        outputs = torch.empty((len(rows), self.case.width), dtype=x.dtype, device=x.device)
        start = 0
        for expert, count in zip(self._experts, dispatched.counts, strict=True):
            if count:
                part = slice(start, start + count)
                outputs[part] = expert(rows[part], scales[part], mark)
                start += count
                mark("experts")
        return outputs

    def combine(self, rows: Tensor, dispatched: QuantizedTokens) -> Tensor:
        """Weigh and add in one pass, dropped assignments with a weight of zero."""
        arrived = dispatched.arrived
        weight = kept_weight(arrived.weight, arrived.local, self.case.capacity)
        return weighted_sum(rows, weight, dispatched.order.places)


class Quantized(ABC):
    """Sort rows by expert, products in 8 bits expert by expert, and a weighted sum per token."""

    staged: ClassVar[bool] = True
    dtype: ClassVar[str]
    linear: ClassVar[type[QuantizedLinear]]

    @abstractmethod
    def products_unsupported(self, device: torch.device, *widths: int) -> str | None:
        """Say why torch has no such products of matrices of these widths; None if it has."""

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse other dtypes, graphs, and products that torch does not have."""
        if case.dtype != self.dtype:
            return f"this quantized layer takes {self.dtype} only, not {case.dtype}"
        if case.graph:
            return reads_back(f"a layer in {self.dtype}, expert by expert,")
        widths = case.hidden, case.width, case.intermediate, case.shared_width
        return self.products_unsupported(device, *widths)

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Lay the weights out beforehand, as a model does when it is loaded."""
        layer = ExpertByExpert(case, operands, self.linear)
        return lambda: {"y": layer(mark)}
