"""A mixture-of-experts layer in int8 by torch._int_mm, expert by expert."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from backends.torch.matmul import int8_product, int8_unsupported
from backends.torch.moe.quantized import Quantized, QuantizedLinear


class Int8Linear(QuantizedLinear):
    """Exact sums in int32, scaled in float32."""

    dtype: ClassVar[torch.dtype] = torch.int8

    def __call__(self, x: Tensor, scale: Tensor) -> Tensor:
        """Multiply and scale: [rows, out] float32."""
        product = int8_product(x, self.weight)
        return product.to(torch.float32).mul_(scale).mul_(self.scale)


class Int8(Quantized):
    """The layer by torch's int8 product."""

    dtype: ClassVar[str] = "int8"
    linear: ClassVar[type[QuantizedLinear]] = Int8Linear

    def products_unsupported(self, device: torch.device, *widths: int) -> str | None:
        """Say why torch has no int8 products of these widths; None if it has."""
        return int8_unsupported(device, *widths)
