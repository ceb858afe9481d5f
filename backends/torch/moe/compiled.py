"""The layer by torch's grouped product, compiled: what lies between the products becomes few kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from backends.torch.compiled import compiler_missing
from backends.torch.implementation import Mark, Tensors
from backends.torch.moe.grouped import Grouped, GroupedLayer
from bench.kernels.moe_layer import MoeLayer


class Compiled(Grouped):
    """`grouped` through torch.compile, forward and backward; compiled once for all input sets."""

    compiles: ClassVar[bool] = True
    staged: ClassVar[bool] = False

    def __init__(self) -> None:
        self._forward: Callable[[Tensors], Tensor] | None = None

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why torch cannot group or compile the layer here, or None."""
        return super().unsupported(case, device) or compiler_missing(device)

    def layer(self, case: MoeLayer, mark: Mark) -> Callable[[Tensors], Tensor]:
        """Return the compiled layer; the first execution compiles it."""
        if self._forward is None:
            # Dynamo gives up on a function after eight shapes; each case is to be compiled afresh.
            torch._dynamo.reset()
            self._forward = torch.compile(
                lambda operands: GroupedLayer(case, operands)(), dynamic=False, fullgraph=True
            )
        return self._forward
