"""The experts' products on their own: group by group, and as torch's one grouped product."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from backends.torch.implementation import Step, Tensors, reads_back
from backends.torch.matmul import LEAST_ROWS_ON_CUDA, int8_product, int8_unsupported
from backends.torch.operands import TORCH_DTYPES
from bench.kernels.base import Kernel
from bench.kernels.dtypes import DTYPES
from bench.kernels.grouped_matmul import GroupedMatmul

# Public since torch 2.10, with an underscore before.
grouped_mm = getattr(F, "grouped_mm", None) or getattr(torch, "_grouped_mm", None)


# The major compute capabilities for which torch has such kernels.
GROUPED_CAPABILITIES = (9, 10)

# One thread of one block prepares each group there: TORCH_CHECK(group_count < 1024) in GroupMM.cu and
# ScaledGroupMM.cu of torch 2.8 to 2.13.
MOST_GROUPS = 1023


def launched_at_once(device: torch.device) -> bool:
    """Whether a device has a kernel for grouped products; elsewhere the host reads their ends."""
    if device.type != "cuda":
        return False
    if torch.version.hip:
        # Only a torch built with Composable Kernel has one, which torch does not report.
        return False
    return torch.cuda.get_device_capability(device)[0] in GROUPED_CAPABILITIES


def too_many_groups(device: torch.device, groups: int) -> str | None:
    """Say why a device's kernel cannot take so many groups; None if it can."""
    if launched_at_once(device) and groups > MOST_GROUPS:
        return f"torch groups up to {MOST_GROUPS} products on this GPU, not {groups}"
    return None


def grouped_mm_unsupported(
    case: Kernel, device: torch.device, groups: int, *widths: int
) -> str | None:
    """Say why torch cannot group a case's products of rows of these widths; None if it can."""
    if grouped_mm is None:
        return f"torch {torch.__version__} has no grouped product; 2.8 is the first that has"
    if device.type == "cuda" and not launched_at_once(device):
        if not hasattr(F, "grouped_mm"):
            return (
                f"torch {torch.__version__} groups products on compute capability 9 and 10 only; "
                "2.10 and newer do everywhere"
            )
        if case.graph:
            return reads_back("torch's grouped product on this GPU")
    if case.dtype != "bfloat16":
        return "torch's grouped product takes bfloat16 only"
    if any(width % 8 for width in widths):
        return "torch's grouped product needs widths that are multiples of 8 (16 bytes)"
    return too_many_groups(device, groups)


class Loop:
    """One product per group, the groups' sizes known to the host."""

    def unsupported(self, case: GroupedMatmul, device: torch.device) -> str | None:
        """Refuse int8 where torch has no such product."""
        return int8_unsupported(device, case.k, case.n) if case.dtype == "int8" else None

    def build(self, case: GroupedMatmul, operands: Tensors) -> Step:
        """Slice the groups beforehand; write into a preallocated result [m, n]."""
        a, b, ends = operands["a"], operands["b"], operands["ends"].tolist()
        out_dtype = TORCH_DTYPES.get(DTYPES[case.dtype].output, torch.int32)
        c = torch.empty((case.m, case.n), dtype=out_dtype, device=a.device)
        outputs = {"c": c}
        starts = [0, *ends[:-1]]
        products = [
            (a[start:end], b[group].T, c[start:end])
            for group, (start, end) in enumerate(zip(starts, ends, strict=True))
            if end > start
        ]

        def step() -> Tensors:
            for rows, matrix, out in products:
                torch.mm(rows, matrix, out=out)
            return outputs

        def int8_step() -> Tensors:
            for rows, matrix, out in products:
                if a.device.type == "cuda" and len(rows) < LEAST_ROWS_ON_CUDA:
                    out.copy_(int8_product(rows, matrix))
                else:
                    torch._int_mm(rows, matrix, out=out)
            return outputs

        return int8_step if case.dtype == "int8" else step


class Grouped:
    """torch's grouped product: one launch for all groups."""

    def unsupported(self, case: GroupedMatmul, device: torch.device) -> str | None:
        """Refuse what torch cannot group."""
        return grouped_mm_unsupported(case, device, case.experts, case.k, case.n)

    def build(self, case: GroupedMatmul, operands: Tensors) -> Step:
        """Multiply in one launch; torch allocates the result."""
        assert grouped_mm is not None
        a, b, ends = operands["a"], operands["b"].transpose(1, 2), operands["ends"]

        def step() -> Tensors:
            return {"c": grouped_mm(a, b, offs=ends)}

        return step
