"""float8 products with a scale per 1×128 values of a and per 128×128 block of b, as DeepSeek-V3 is trained.

cuBLAS 12.9 and newer multiply so on Hopper only (_check_deepseek_support and
_scaled_block1x128_block128x128, ATen/native/cuda/ScaledBlas.cpp of torch 2.10 to 2.13). As in rowwise.py, the
operands are stored larger by powers of two that differ from block to block, and the scales undo it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.torch.implementation import Step, Tensors
from backends.torch.rowwise import EXPONENTS
from bench.kernels.matmul import Matmul

BLOCK = 128
# b's scales along k are padded to a multiple of so many blocks.
PADDED_BLOCKS = 4


class Block128:
    """torch.nn.functional.scaled_mm with the recipes BlockWise1x128 and BlockWise128x128."""

    def unsupported(self, case: Matmul, device: torch.device) -> str | None:
        """Refuse other dtypes, shapes that blocks do not fit, and other GPUs than Hopper."""
        if case.dtype != "float8_e4m3":
            return "blocks of 128 are a way to scale float8_e4m3 operands"
        if case.batch > 1 or case.layout != "nt" or case.k % BLOCK or case.n % BLOCK:
            return "products in blocks of 128 take layout nt, no batch, k and n that are multiples of 128"
        if not hasattr(F, "scaled_mm"):
            return f"torch {torch.__version__} has no torch.nn.functional.scaled_mm; install a newer one"
        if device.type != "cuda" or torch.version.hip is not None:
            return "products in blocks of 128 run on NVIDIA GPUs only"
        capability = torch.cuda.get_device_capability(device)
        if capability != (9, 0):
            return (
                "products in blocks of 128 need compute capability 9.0, this GPU has {}.{}".format(
                    *capability
                )
            )
        return None

    def build(self, case: Matmul, operands: Tensors) -> Step:
        """Scale the operands beforehand; torch allocates the result [m, n]."""
        functional: Any = F
        recipes = functional.ScalingType
        a, scale_a = stored(operands["a"][0], 1)
        b, scale_b = stored(operands["b"][0], BLOCK)
        scale_a = (
            scale_a.T.contiguous().T
        )  # [m, k / 128], the rows' scales of a block beside each other
        padding = -scale_b.shape[1] % PADDED_BLOCKS
        scale_b = F.pad(
            scale_b, (0, padding)
        ).T  # [k / 128 padded, n / 128], those of a column together

        def step() -> Tensors:
            c = functional.scaled_mm(
                *(a, b.T, scale_a, recipes.BlockWise1x128, scale_b, recipes.BlockWise128x128),
                output_dtype=torch.bfloat16,
            )
            return {"c": c[None]}

        return step


def stored(x: Tensor, height: int) -> tuple[Tensor, Tensor]:
    """Multiply blocks of `height` rows and 128 columns of x [rows, k] by powers of two.

    Also returns the inverse scales [rows / height, k / 128] float32.
    """
    rows, blocks = len(x) // height, x.shape[1] // BLOCK
    diagonal = torch.arange(rows, device=x.device)[:, None] + torch.arange(blocks, device=x.device)
    factors = torch.exp2((diagonal % EXPONENTS).float())
    blocked = x.float().view(rows, height, blocks, BLOCK) * factors[:, None, :, None]
    return blocked.view(x.shape).to(x.dtype), 1 / factors
