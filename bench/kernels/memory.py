"""Kernel `memory`: copy, read and triad over arrays far larger than any cache, for the bandwidth.

Bytes are counted as STREAM counts them (McCalpin, 1995): each array once. A processor that reads a
cache line before it overwrites it moves more than that, and its rate is shown lower accordingly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from bench.kernels.base import DtypeName, Kernel, Operand, Size, Verification, Work, compare
from bench.kernels.dtypes import DTYPES, accumulate_roundoff, quantize
from bench.kernels.inputs import tensor

TRIAD_SCALE = 3.0
VERIFIED_AT_ONCE = 1 << 24  # elements


class Memory(Kernel):
    """`copy`: y = a; `read`: y = Σ a; `triad`: y = a + 3·b. Each array holds `size_mib` MiB."""

    name: ClassVar[str] = "memory"

    operation: Literal["copy", "read", "triad"]
    size_mib: Size = 1024
    dtype: DtypeName = "float32"

    @field_validator("dtype")
    @classmethod
    def _whole_bytes(cls, dtype: str) -> str:
        if dtype == "float4_e2m1":
            raise ValueError("memory has no float4_e2m1 form")
        return dtype

    def shape(self, model: str | None = None) -> str:
        """Return the operation and the size of each array."""
        return f"{self.operation} {self.size_mib} MiB"

    @property
    def elements(self) -> int:
        """The number of elements of each array."""
        return (self.size_mib << 20) // DTYPES[self.dtype].bytes

    def work(self, seed: int) -> Work:
        """Return the bytes of the arrays read and written; the few additions are not what is measured."""
        arrays = {"copy": 2, "read": 1, "triad": 3}[self.operation]
        return Work(flops=0, bytes=arrays * self.elements * DTYPES[self.dtype].bytes)

    def memory_bytes(self) -> int:
        """Return the bytes of all arrays."""
        return self.work(0).bytes

    def make_inputs(self, seed: int) -> dict[str, Operand]:
        """Return `a` and, for triad, `b`: [elements], around one so that their sum is no rounding error."""
        names = ("a", "b") if self.operation == "triad" else ("a",)
        return {name: Operand(self._values(name, seed), self.dtype) for name in names}

    def _values(self, name: str, seed: int) -> NDArray[np.float32]:
        values = tensor(
            (self.elements,),
            "float32",
            seed=seed,
            name=f"memory/{name}",
            scale=0.25,
            distribution=self.inputs,
        )
        if self.inputs != "zeros":
            values += 1
        return quantize(values, self.dtype)

    def tolerance(self) -> float:
        """Return 0 for a copy, else twice the rounding of the result and of the sum before it."""
        if self.operation == "copy":
            return 0.0
        roundoff = DTYPES[self.dtype].output_roundoff
        terms = self.elements if self.operation == "read" else 2
        return float(2 * (roundoff + np.sqrt(terms) * accumulate_roundoff(self.dtype)))

    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Compare `y` ([elements], or one sum) whole, in blocks that keep the host's memory small."""
        a, y = inputs["a"].array, outputs["y"]
        if self.operation == "read":
            total = np.array([a.sum(dtype=np.float64)])
            return compare(y.reshape(-1), total, self.tolerance(), "the sum")
        if y.shape != a.shape:
            return compare(y, a, self.tolerance(), "every element")
        found = []
        for start in range(0, len(a), VERIFIED_AT_ONCE):
            part = slice(start, start + VERIFIED_AT_ONCE)
            ref = a[part].astype(np.float64)
            if self.operation == "triad":
                ref += TRIAD_SCALE * inputs["b"].array[part].astype(np.float64)
            found.append(compare(y[part], ref, self.tolerance(), "every element"))
        return max(found, key=lambda one: (not one.passed, one.rel_error))
