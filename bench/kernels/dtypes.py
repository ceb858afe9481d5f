"""The number formats that cases are measured in, and how each rounds.

Inputs are rounded on the host to values that the case's dtype holds exactly. Every backend multiplies
the same numbers, and the reference does not depend on a device's conversions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Dtype:
    """A number format: how operands are stored, multiplied, and written back.

    `bits` is the size of one element; in block formats `block` elements of a row share a scale of
    `scale_bits`. `multiply_roundoff` is the unit roundoff of an
    operand as the multiplier sees it (tf32 and hf32 store 32 bits but multiply fewer), and
    `output_roundoff` that of the stored result.
    """

    name: str
    short: str
    bits: int
    output: str
    output_bytes: int
    multiply_roundoff: float
    output_roundoff: float
    block: int | None = None
    scale_bits: int = 0

    @property
    def bytes(self) -> int:
        """The size of one element in bytes, in formats whose elements do not share bytes."""
        assert self.bits % 8 == 0, f"elements of {self.name} share bytes"
        return self.bits // 8

    def stored_bytes(self, rows: int, length: int) -> int:
        """Return the bytes of rows of so many elements, with the scales of their blocks."""
        blocks = -(-length // self.block) if self.block else 0
        return rows * (-(-length * self.bits // 8) + blocks * self.scale_bits // 8)

    @property
    def average_bits(self) -> float:
        """The size of one element with its part of a scale, in bits."""
        return self.bits + (self.scale_bits / self.block if self.block else 0)


# Unit roundoffs are 2**-p for p significant bits (IEEE 754; OCP 8-bit floating point, 2023, e4m3;
# OCP microscaling formats, 2023, e2m1). No chip multiplies 4-bit numbers without the scales of blocks. The
# bytes of float4_e2m1 are those of nvfp4, an e4m3 scale per 16 values (NVIDIA, PTX ISA): 12.5 % more than
# the values. mxfp4's would be 6.25 %, a power of two in 8 bits per 32 values.
DTYPES: dict[str, Dtype] = {
    dtype.name: dtype
    for dtype in (
        Dtype("float64", "f64", 64, "float64", 8, 0.0, 2**-53),
        Dtype("float32", "f32", 32, "float32", 4, 0.0, 2**-24),
        Dtype("tf32", "tf32", 32, "float32", 4, 2**-11, 2**-24),
        Dtype("hf32", "hf32", 32, "float32", 4, 2**-11, 2**-24),
        Dtype("float16", "f16", 16, "float16", 2, 0.0, 2**-11),
        Dtype("bfloat16", "bf16", 16, "bfloat16", 2, 0.0, 2**-8),
        Dtype("int8", "i8", 8, "int32", 4, 0.0, 0.0),
        Dtype("float8_e4m3", "f8", 8, "bfloat16", 2, 0.0, 2**-8),
        Dtype("float4_e2m1", "f4", 4, "bfloat16", 2, 0.0, 2**-8, block=16, scale_bits=8),
    )
}

# The unit roundoff of sums inside a product: that of float32, except for the formats below.
ACCUMULATE_ROUNDOFF = {"float64": 2**-53, "int8": 0.0}


def accumulate_roundoff(dtype: str) -> float:
    """Return the unit roundoff of the accumulator that products in `dtype` are expected to use."""
    return ACCUMULATE_ROUNDOFF.get(dtype, 2**-24)


def quantize(values: NDArray[np.float32], dtype: str) -> NDArray[np.float32]:
    """Round `values` in place to the nearest numbers that `dtype` holds (ties to even).

    float64, float32, tf32 and hf32 store a float32 unchanged. int8 rounds to integers in [-127, 127];
    the caller scales. For float4_e2m1 the values are 0, 0.5, 1, 1.5, 2, 3 and their negatives: those
    whose doubles the format holds as well, so that a block can be stored with either of two scales.
    """
    if dtype == "bfloat16":
        bits = values.view(np.uint32)
        # Adding half of the dropped unit, less one where the kept bit is even, rounds ties to even.
        bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        bits &= np.uint32(0xFFFF0000)
    elif dtype == "float16":
        values[...] = values.astype(np.float16)
    elif dtype == "int8":
        np.rint(values, out=values)
        np.clip(values, -127, 127, out=values)
    elif dtype == "float8_e4m3":
        np.clip(values, -448, 448, out=values)
        # Three stored mantissa bits; below 2**-6 the spacing stays that of the smallest normals.
        _, exponent = np.frexp(values)
        spacing = np.ldexp(np.float32(1), np.maximum(exponent - 1, -6) - 3)
        values[...] = np.rint(values / spacing) * spacing
    elif dtype == "float4_e2m1":
        np.clip(values, -3, 3, out=values)
        spacing = np.where(np.abs(values) < 2, np.float32(0.5), np.float32(1))
        values[...] = np.rint(values / spacing) * spacing
    return values


def short_dtype(name: str) -> str:
    """Return `bf16` for `bfloat16`; a name that is no known dtype stays as it is."""
    return DTYPES[name].short if name in DTYPES else name
