"""Copy, read and triad as single torch operators, so that memory is the only limit."""

from __future__ import annotations

import torch

from backends.torch.implementation import Step, Tensors
from bench.kernels.memory import PARTS, TRIAD_SCALE, Memory


class TorchMemory:
    """Tensor.copy_, torch.sum and torch.add with a factor."""

    def unsupported(self, case: Memory, device: torch.device) -> str | None:
        """Refuse sums in dtypes that torch does not add."""
        if case.dtype in ("int8", "float8_e4m3") and case.operation != "copy":
            return f"torch does not add in {case.dtype}"
        return None

    def build(self, case: Memory, operands: Tensors) -> Step:
        """Write into a preallocated result: [elements], or [parts]."""
        a = operands["a"]
        y = torch.empty(
            (PARTS,) if case.operation == "read" else a.shape, dtype=a.dtype, device=a.device
        )
        outputs = {"y": y}
        if case.operation == "copy":

            def step() -> Tensors:
                y.copy_(a)
                return outputs

        elif case.operation == "read":
            parts = a.view(PARTS, -1)

            def step() -> Tensors:
                torch.sum(parts, dim=1, out=y)
                return outputs

        else:
            b = operands["b"]

            def step() -> Tensors:
                torch.add(a, b, alpha=TRIAD_SCALE, out=y)
                return outputs

        return step
