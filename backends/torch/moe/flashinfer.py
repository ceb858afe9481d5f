"""flashinfer's CUTLASS kernels: experts with gate and activation in the products' epilogues.

`flashinfer.fused_moe.cutlass_fused_moe` as of 0.6 to 0.7 (github.com/flashinfer-ai/flashinfer,
flashinfer/fused_moe/core.py at 003eddf, tests/moe/test_trtllm_cutlass_fused_moe.py): the first product's
matrix is [up; gate], in this order, and the gate's weights are used unchanged.
"""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from typing import ClassVar

import torch
from torch import Tensor

from backends.torch.moe.library import Experts, LibraryExperts
from bench.kernels.moe.layer import MoeLayer


class FlashInfer(LibraryExperts):
    """cutlass_fused_moe, tuned by flashinfer's own tuner at the first execution."""

    package: ClassVar[str] = "flashinfer"
    project: ClassVar[str] = "flashinfer-python"
    capability: ClassVar[tuple[int, int]] = (8, 9)

    def __init__(self) -> None:
        self._tuned = False

    def experts(self, case: MoeLayer, gate: Tensor, up: Tensor, down: Tensor) -> Experts:
        """Make the call, which writes into a preallocated result."""
        fused_moe = import_module("flashinfer.fused_moe").cutlass_fused_moe
        autotune = import_module("flashinfer").autotune
        first = torch.cat([up, gate], dim=1)
        y: Tensor | None = None

        def call(z: Tensor, weight: Tensor, local: Tensor) -> Tensor:
            nonlocal y
            y = torch.empty_like(z) if y is None else y
            with nullcontext() if self._tuned else autotune(True):
                fused_moe(z, local, weight, first, down, z.dtype, quant_scales=[], output=y)
            self._tuned = True
            return y

        return call
