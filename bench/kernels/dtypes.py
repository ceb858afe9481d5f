"""The number formats that cases are measured in, and how each rounds.

Inputs are rounded on the host to values that the case's dtype holds exactly, so every backend
multiplies the same numbers and the reference needs no knowledge of a device's conversions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Dtype:
    """A number format: how operands are stored, multiplied, and written back.

    `bits` are an element's; scales beside the elements are not counted. `multiply_roundoff` is the
    relative rounding of an operand as the multiplier sees it (tf32 and hf32 store 32 bits but multiply
    fewer), `output_roundoff` that of the stored result.
    """

    name: str
    short: str
    bits: int
    output: str
    output_bytes: int
    multiply_roundoff: float
    output_roundoff: float

    @property
    def bytes(self) -> int:
        """Bytes of an element, of formats whose elements have their own."""
        assert self.bits % 8 == 0, f"elements of {self.name} share bytes"
        return self.bits // 8

    def stored_bytes(self, elements: int) -> int:
        """Return the bytes of so many elements."""
        return elements * self.bits // 8


# Unit roundoffs are 2**-p for p significant bits (IEEE 754; OCP 8-bit floating point, 2023, e4m3;
# OCP microscaling formats, 2023, e2m1).
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
        Dtype("float4_e2m1", "f4", 4, "bfloat16", 2, 0.0, 2**-8),
    )
}

# The roundoff of the sums inside a product: float32 everywhere but where the operands are wider.
ACCUMULATE_ROUNDOFF = {"float64": 2**-53, "int8": 0.0}


def accumulate_roundoff(dtype: str) -> float:
    """Return the unit roundoff of the accumulator that a product in `dtype` may be expected to use."""
    return ACCUMULATE_ROUNDOFF.get(dtype, 2**-24)


def quantize(values: NDArray[np.float32], dtype: str) -> NDArray[np.float32]:
    """Round `values` in place to the nearest numbers that `dtype` holds (ties to even).

    float64, float32, tf32 and hf32 store a float32 as it is. int8 rounds to integers in
    [-127, 127]; the caller scales. float4_e2m1 has 0, 0.5, 1, 1.5, 2 and 3, and their negatives: the
    numbers whose doubles it has too, so that a block of them can be stored under two scales.
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
