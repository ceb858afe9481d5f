"""Matrix products as torch offers them: the vendor's BLAS library behind mm, bmm, _int_mm and _scaled_mm."""

from __future__ import annotations

import torch

from backends.torch.implementation import Step, Tensors
from backends.torch.operands import TORCH_DTYPES
from bench.kernels.dtypes import DTYPES
from bench.kernels.matmul import Matmul

# cuBLASLt's int8 product, which torch._int_mm is on CUDA, takes no fewer rows (torch 2.6 to 2.13).
LEAST_ROWS_ON_CUDA = 17


def has_kernel(operator: str, device: torch.device) -> bool:
    """Whether an operator has a kernel for a device, rather than a fallback to the processor."""
    key = torch._C._dispatch_key_for_device(device.type)
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(operator, key))


def int8_product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Multiply int8 operands of any number of rows on any device: x · weight [rows, n] int32."""
    rows = len(x)
    if x.device.type == "cuda" and rows < LEAST_ROWS_ON_CUDA:
        x = torch.cat([x, x.new_zeros(LEAST_ROWS_ON_CUDA - rows, x.shape[1])])
    return torch._int_mm(x, weight)[:rows]


def int8_unsupported(device: torch.device, *widths: int) -> str | None:
    """Say why torch cannot multiply int8 matrices of such widths; None if it can."""
    if not has_kernel("aten::_int_mm", device):
        return f"torch has no int8 product (torch._int_mm) for {device.type} devices"
    if device.type == "cuda" and any(width % 8 for width in widths):
        return "torch._int_mm on CUDA needs widths that are multiples of 8"
    return None


class TorchMatmul:
    """torch.mm and torch.bmm; torch._int_mm for int8; torch._scaled_mm for float8."""

    def unsupported(self, case: Matmul, device: torch.device) -> str | None:
        """Refuse dtypes, layouts and shapes without a product in torch."""
        if case.dtype == "float4_e2m1":
            return "float4_e2m1 needs block scales: use nvfp4"
        if case.dtype in ("int8", "float8_e4m3") and case.batch > 1:
            return f"torch has no batched {case.dtype} product"
        if case.dtype == "int8":
            if device.type == "cuda" and case.m < LEAST_ROWS_ON_CUDA:
                return f"torch._int_mm on CUDA takes {LEAST_ROWS_ON_CUDA} rows or more"
            return int8_unsupported(device, case.k, case.n)
        if case.dtype == "float8_e4m3":
            if not hasattr(torch, "_scaled_mm"):
                return f"torch {torch.__version__} has no float8 product (torch._scaled_mm)"
            if case.layout != "nt":
                return "torch._scaled_mm takes layout nt only"
            if case.k % 16 or case.n % 16:
                return "torch._scaled_mm takes n and k that are multiples of 16 only"
        return None

    def build(self, case: Matmul, operands: Tensors) -> Step:
        """Write into a preallocated result [batch, m, n]."""
        a, b = operands["a"], operands["b"]
        a = a if case.layout[0] == "n" else a.transpose(1, 2)
        b = b if case.layout[1] == "n" else b.transpose(1, 2)
        out_dtype = TORCH_DTYPES.get(DTYPES[case.dtype].output, torch.int32)
        c = torch.empty((case.batch, case.m, case.n), dtype=out_dtype, device=a.device)
        outputs = {"c": c}
        if case.batch > 1:

            def step() -> Tensors:
                torch.bmm(a, b, out=c)
                return outputs

            return step
        a, b, c0 = a[0], b[0], c[0]
        if case.dtype == "int8":

            def step() -> Tensors:
                torch._int_mm(a, b, out=c0)
                return outputs

        elif case.dtype == "float8_e4m3":
            one = torch.ones((), dtype=torch.float32, device=a.device)

            def step() -> Tensors:
                torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=out_dtype, out=c0)
                return outputs

        else:

            def step() -> Tensors:
                torch.mm(a, b, out=c0)
                return outputs

        return step
