"""Matrix products that only torch-npu has: int8, and weights in the Cube's own format."""

from __future__ import annotations

import torch

from backends.ascend.node import npu
from backends.torch.implementation import Step, Tensors
from backends.torch.operands import TORCH_DTYPES
from bench.kernels.dtypes import DTYPES
from bench.kernels.matmul import Matmul

ACL_FORMAT_FRACTAL_NZ = 29  # of CANN's aclFormat


def fractal_nz(weight: torch.Tensor) -> torch.Tensor:
    """Convert a weight [.., rows, columns] to FRACTAL_NZ, in which the Cube reads its operands.

    torch-npu uses plain formats unless internal ones are allowed, which they are for this call only. The
    weight is copied first, because views keep their format.
    """
    import torch_npu

    npu().config.allow_internal_format = True
    try:
        formatted = torch_npu.npu_format_cast(weight.clone(), ACL_FORMAT_FRACTAL_NZ)
    finally:
        npu().config.allow_internal_format = False
    if torch_npu.get_npu_format(formatted) != ACL_FORMAT_FRACTAL_NZ:
        raise RuntimeError("torch-npu left the weight in a plain format")
    assert isinstance(formatted, torch.Tensor)
    return formatted


class NpuQuant:
    """npu_quant_matmul into int32, which torch has no operator for; operands in plain format (ND)."""

    def unsupported(self, case: Matmul, device: torch.device) -> str | None:
        """Refuse all dtypes but int8."""
        return None if case.dtype == "int8" else "npu_quant_matmul takes int8 only"

    def build(self, case: Matmul, operands: Tensors) -> Step:
        """Take b in either layout; make a row-major beforehand."""
        a, b = as_written(case, operands)
        return quantized(a.contiguous(), b)


class FractalNz:
    """b in FRACTAL_NZ, as inference servers keep their weights: laid out before the timing."""

    def unsupported(self, case: Matmul, device: torch.device) -> str | None:
        """Refuse dtypes without FRACTAL_NZ, and batches."""
        if case.dtype not in ("float16", "bfloat16", "int8"):
            return f"FRACTAL_NZ is for weights in float16, bfloat16 and int8, not {case.dtype}"
        if case.batch > 1:
            return "torch-npu has no batched product of weights in FRACTAL_NZ"
        return None

    def build(self, case: Matmul, operands: Tensors) -> Step:
        """Convert b beforehand; write into a preallocated result [1, m, n], int8 into a new one."""
        b = fractal_nz(operands["b"][0])
        b = b if case.layout[1] == "n" else b.T
        a, _ = as_written(case, operands)
        if case.dtype == "int8":
            return quantized(a.contiguous(), b)
        out_dtype = TORCH_DTYPES[DTYPES[case.dtype].output]
        c = torch.empty((1, case.m, case.n), dtype=out_dtype, device=a.device)
        outputs = {"c": c}

        def step() -> Tensors:
            torch.mm(a[0], b, out=c[0])
            return outputs

        return step


def as_written(case: Matmul, operands: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """View a as [batch, m, k] and b as [batch, k, n], whatever their layout."""
    a, b = operands["a"], operands["b"]
    return (
        a if case.layout[0] == "n" else a.transpose(1, 2),
        b if case.layout[1] == "n" else b.transpose(1, 2),
    )


def quantized(a: torch.Tensor, b: torch.Tensor) -> Step:
    """Make the step of an int8 product with int32 results, [batch, m, n]."""
    import torch_npu

    one = torch.ones(1, dtype=torch.float32, device=a.device)

    def step() -> Tensors:
        return {"c": torch_npu.npu_quant_matmul(a, b, one, output_dtype=torch.int32)}

    return step
