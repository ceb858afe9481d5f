"""Matrix products by torch.compile: Inductor tries its own kernels against the vendor's library."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import ClassVar

import torch

from backends.torch.implementation import Step, Tensors
from bench.kernels.matmul import Matmul


def compiler_missing(device: torch.device) -> str | None:
    """Name what torch.compile lacks to build kernels for a device; None if nothing."""
    if device.type == "cpu":
        compiler = os.environ.get("CXX", "g++")
        return None if shutil.which(compiler) else f"torch.compile needs a C++ compiler: {compiler}"
    return None if find_spec("triton") else "torch.compile needs the package triton on GPUs"


class CompiledMatmul:
    """torch.mm or torch.bmm compiled with max-autotune, once for all input sets of a case."""

    compiles: ClassVar[bool] = True

    def __init__(self) -> None:
        self._product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None

    def unsupported(self, case: Matmul, device: torch.device) -> str | None:
        """Refuse dtypes in 8 bits and less, and machines without a compiler."""
        if case.dtype in ("int8", "float8_e4m3", "float4_e2m1"):
            return f"compiled takes floating-point products of 16 bits and more, not {case.dtype}"
        return compiler_missing(device)

    def build(self, case: Matmul, operands: Tensors) -> Step:
        """Compile at the first execution, for all input sets of the case."""
        if self._product is None:
            # Dynamo gives up on a function after eight shapes; a reset lets each case be compiled.
            torch._dynamo.reset()
            self._product = torch.compile(
                torch.mm if case.batch == 1 else torch.bmm,
                mode="max-autotune-no-cudagraphs",
                dynamic=False,
                fullgraph=True,
            )
        a, b, product = operands["a"], operands["b"], self._product
        a = a if case.layout[0] == "n" else a.transpose(1, 2)
        b = b if case.layout[1] == "n" else b.transpose(1, 2)
        if case.batch > 1:
            return lambda: {"c": product(a, b)}
        a, b = a[0], b[0]
        return lambda: {"c": product(a, b)[None]}
