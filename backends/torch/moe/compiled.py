"""The layer by torch's grouped product, compiled: what is between the products is fused."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from backends.torch.compiled import compiler_missing
from backends.torch.implementation import Mark, Tensors
from backends.torch.moe.grouped import Grouped, GroupedLayer
from bench.kernels.moe.layer import MoeLayer


class Compiled(Grouped):
    """`grouped` through torch.compile, forward and backward; compiled once for all input sets."""

    compiles: ClassVar[bool] = True
    staged: ClassVar[bool] = False

    def __init__(self) -> None:
        self._forward: Callable[[Tensors], Tensor] | None = None

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse what torch cannot group or compile here."""
        if case.backward and case.zero_experts:
            return "torch.compile gets d_x of zero-computation experts wrong (seen with torch 2.13)"
        return super().unsupported(case, device) or compiler_missing(device)

    def layer(self, case: MoeLayer, mark: Mark) -> Callable[[Tensors], Tensor]:
        """Compile the layer at the first execution, for all input sets of the case."""
        if self._forward is None:
            # Dynamo gives up on a function after eight shapes; a reset lets each case be compiled.
            torch._dynamo.reset()
            self._forward = torch.compile(
                lambda operands: GroupedLayer(case, operands)(), dynamic=False, fullgraph=True
            )
        return self._forward
