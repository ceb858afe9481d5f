"""Block-scaled products in 8 and 4 bits, with one scale per block along k, as Blackwell multiplies them.

`mxfp8`: e4m3 with one power of two per 32 values (OCP Microscaling Formats 1.0). `nvfp4`: e2m1, two in a
byte, with one e4m3 scale per 16 values (NVIDIA, PTX ISA, mma with block scaling).

As in rowwise.py, operands are stored larger by powers of two that differ from block to block, and the
scales undo it: the product is exactly that of the given operands, and verification detects a misplaced
scale.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.torch.implementation import Step, Tensors
from bench.kernels.matmul import Matmul

# cuBLAS keeps scales in tiles of 128 rows and 4 blocks (cuBLAS manual, 1D block scaling factors layout).
TILE_ROWS, TILE_BLOCKS = 128, 4

# The magnitudes of e2m1 by their three bits; the fourth is the sign.
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


class BlockScaled:
    """torch.nn.functional.scaled_mm with scales per block of both operands."""

    dtype: ClassVar[str]
    block: ClassVar[int]
    exponents: ClassVar[int]  # stored values are up to 2**(exponents - 1) times the operands'
    scale_dtype: ClassVar[str]  # older versions of torch lack some
    recipe: ClassVar[str]

    def unsupported(self, case: Matmul, device: torch.device) -> str | None:
        """Refuse other dtypes, shapes that blocks do not fit, and devices without such products."""
        if case.dtype != self.dtype:
            return f"a scale per {self.block} values is a way to scale {self.dtype} operands"
        if case.batch > 1 or case.layout != "nt" or case.k % 32 or case.n % 16:
            return "block-scaled products take layout nt, no batch, k that are multiples of 32 and n of 16"
        if not hasattr(F, "scaled_mm"):
            return f"torch {torch.__version__} has no torch.nn.functional.scaled_mm; install a newer one"
        if torch.version.hip:
            return "block-scaled products run on NVIDIA GPUs only"
        capability = torch.cuda.get_device_capability(device)
        if capability < (10, 0):
            return "block-scaled products need compute capability 10.0, this GPU has {}.{}".format(
                *capability
            )
        return None

    def build(self, case: Matmul, operands: Tensors) -> Step:
        """Encode the operands beforehand; torch allocates the result [m, n]."""
        a, scale_a = self.stored(operands["a"][0])
        b, scale_b = self.stored(operands["b"][0])
        functional: Any = F
        recipe = getattr(functional.ScalingType, self.recipe)
        multiply = partial(
            functional.scaled_mm,
            a,
            b.T,
            scale_a,
            recipe,
            scale_b,
            recipe,
            swizzle_a=functional.SwizzleType.SWIZZLE_32_4_4,
            swizzle_b=functional.SwizzleType.SWIZZLE_32_4_4,
            output_dtype=torch.bfloat16,
        )

        def step() -> Tensors:
            return {"c": multiply()[None]}

        return step

    def stored(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode x [rows, k], and lay the scales of its blocks out as cuBLAS reads them."""
        rows, blocks = len(x), x.shape[1] // self.block
        diagonal = torch.arange(rows)[:, None] + torch.arange(blocks)
        factors = torch.exp2((diagonal % self.exponents).float()).to(x.device)
        values = (x.float().view(rows, blocks, -1) * factors[..., None]).view(rows, -1)
        return self.encoded(values), tiled((1 / factors).to(getattr(torch, self.scale_dtype)))

    def encoded(self, values: Tensor) -> Tensor:
        """Encode float32 values [rows, k], which the format represents exactly."""
        raise NotImplementedError


class Mxfp8(BlockScaled):
    """float8 with one scale per 32 values."""

    dtype: ClassVar[str] = "float8_e4m3"
    block: ClassVar[int] = 32
    exponents: ClassVar[int] = 4
    scale_dtype: ClassVar[str] = "float8_e8m0fnu"
    recipe: ClassVar[str] = "BlockWise1x32"

    def encoded(self, values: Tensor) -> Tensor:
        """Convert to float8 [rows, k]."""
        return values.to(torch.float8_e4m3fn)


class Nvfp4(BlockScaled):
    """float4 with one scale per 16 values."""

    dtype: ClassVar[str] = "float4_e2m1"
    block: ClassVar[int] = 16
    exponents: ClassVar[int] = 2
    scale_dtype: ClassVar[str] = "float8_e4m3fn"
    recipe: ClassVar[str] = "BlockWise1x16"

    def encoded(self, values: Tensor) -> Tensor:
        """Pack pairs of float4 [rows, k / 2], the first of a pair in the lower half of the byte."""
        magnitudes = torch.tensor(E2M1, device=values.device)
        codes = torch.searchsorted(magnitudes, values.abs()).to(torch.uint8)
        codes |= (values < 0).to(torch.uint8) << 3
        return (codes[:, ::2] | codes[:, 1::2] << 4).view(torch.float4_e2m1fn_x2)


def tiled(scales: Tensor) -> Tensor:
    """Arrange scales [rows, blocks] as one run of tiles, padded at the right and at the bottom.

    The scale of row r and block b of a tile lies at (r % 32) · 16 + (r / 32) · 4 + b.
    """
    rows, blocks = scales.shape
    down, across = -(-rows // TILE_ROWS), -(-blocks // TILE_BLOCKS)
    # There is no padding kernel for float8, but there is one for bytes.
    full = scales.new_zeros((down * TILE_ROWS, across * TILE_BLOCKS), dtype=torch.uint8)
    full[:rows, :blocks] = scales.view(torch.uint8)
    tiles = full.view(down, 4, 32, across, TILE_BLOCKS).permute(0, 3, 2, 1, 4)
    return tiles.flatten().view(scales.dtype)
