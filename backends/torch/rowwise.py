"""float8 products with per-row scales of a and per-column scales of b, as quantized models have them.

The operands are stored larger by powers of two that differ from row to row, and the scales undo it: the
product is exactly that of the given operands, and verification detects a misplaced scale.
"""

from __future__ import annotations

import torch

from backends.torch.implementation import Step, Tensors
from backends.torch.operands import TORCH_DTYPES
from bench.kernels.dtypes import DTYPES
from bench.kernels.matmul import Matmul

# Stored values are up to 2**3 times the operands': normal values stay far below float8's 448.
EXPONENTS = 4


def rowwise_unsupported(device: torch.device) -> str | None:
    """Say why a GPU's float8 products cannot have scales per row and column; None if they can.

    On compute capability 8.9, torch before 2.12 launches the kernel on the default stream, whatever stream
    is current (pytorch issue 177651): it races with what it depends on, or hangs. On 12.x, torch 2.10 asks
    cuBLAS, which has no such product there (pytorch issue 192707).
    """
    if device.type != "cuda" or torch.version.hip is not None:
        return None
    capability = torch.cuda.get_device_capability(device)
    if capability < (8, 9):
        return "rowwise scales need compute capability 8.9, this GPU has {}.{}".format(*capability)
    if capability == (8, 9) and torch.__version__ < "2.12":
        return (
            f"torch {torch.__version__} ignores the current stream in row-wise float8 products on "
            "compute capability 8.9; install 2.12 or newer"
        )
    if capability[0] == 12 and "2.10" <= torch.__version__ < "2.11":
        return (
            f"torch {torch.__version__} has no row-wise float8 product for compute capability 12; "
            "install 2.11 or newer"
        )
    return None


class Rowwise:
    """torch._scaled_mm with scales [m, 1] and [1, n]."""

    def unsupported(self, case: Matmul, device: torch.device) -> str | None:
        """Refuse other dtypes, and what torch._scaled_mm does not take."""
        if case.dtype != "float8_e4m3":
            return "rowwise is a way to scale float8 operands"
        if case.batch > 1:
            return "torch has no batched float8 product"
        if case.layout != "nt" or case.k % 16 or case.n % 16:
            return "torch._scaled_mm takes layout nt, and n and k that are multiples of 16 only"
        if not hasattr(torch, "_scaled_mm"):
            return f"torch {torch.__version__} has no float8 product (torch._scaled_mm)"
        return rowwise_unsupported(device)

    def build(self, case: Matmul, operands: Tensors) -> Step:
        """Scale the operands beforehand; write into a preallocated result [1, m, n]."""
        a, scale_a = stored(operands["a"][0])
        b, scale_b = stored(operands["b"][0])
        out_dtype = TORCH_DTYPES[DTYPES[case.dtype].output]
        c = torch.empty((1, case.m, case.n), dtype=out_dtype, device=a.device)
        b, scale_b, c0, outputs = b.T, scale_b.T, c[0], {"c": c}

        def step() -> Tensors:
            torch._scaled_mm(a, b, scale_a=scale_a, scale_b=scale_b, out_dtype=out_dtype, out=c0)
            return outputs

        return step


def stored(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Multiply each row of x [rows, k] by a power of two; also return the inverse scales [rows, 1]."""
    exponents = torch.arange(len(x), device=x.device, dtype=torch.float32) % EXPONENTS
    factors = torch.exp2(exponents)[:, None]
    return (x.float() * factors).to(x.dtype), (1 / factors).contiguous()
