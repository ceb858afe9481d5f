"""Matrix products by the Triton kernel of triton_kernel.py, where the package triton is installed."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import ClassVar

import torch

from backends.torch.implementation import Step, Tensors
from bench.kernels.matmul import Matmul


class TritonMatmul:
    """A persistent kernel, tuned over a few tile sizes at the first execution of a shape."""

    compiles: ClassVar[bool] = True

    def unsupported(self, case: Matmul, device: torch.device) -> str | None:
        """Refuse other dtypes, batches, and machines without triton or a GPU."""
        if find_spec("triton") is None:
            return "the package triton is not installed"
        if case.dtype not in ("float16", "bfloat16"):
            return f"the Triton kernel takes float16 and bfloat16, not {case.dtype}"
        if case.batch > 1:
            return "the Triton kernel takes one product at a time"
        if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
            return "Triton compiles for GPUs only"
        return None

    def build(self, case: Matmul, operands: Tensors) -> Step:
        """Write into a preallocated result [1, m, n]."""
        from backends.torch.triton_kernel import multiply

        a, b = operands["a"][0], operands["b"][0]
        a = a if case.layout[0] == "n" else a.T
        b = b if case.layout[1] == "n" else b.T
        c = torch.empty((1, case.m, case.n), dtype=a.dtype, device=a.device)
        c0, outputs, programs = c[0], {"c": c}, 4
        if a.device.type == "cuda":
            programs = torch.cuda.get_device_properties(a.device).multi_processor_count

        def step() -> Tensors:
            multiply(a, b, c0, programs)
            return outputs

        return step
