"""Kernel `memory`: copy, read and triad over arrays far larger than any cache, for the bandwidth.

Bytes are counted as in STREAM (McCalpin, 1995): each array once. A processor that reads a cache line
before overwriting it moves more bytes than that, and its reported rate is lower accordingly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from bench.kernels.base import DtypeName, Kernel, Operand, Size, Work
from bench.kernels.dtypes import DTYPES, accumulate_roundoff
from bench.kernels.inputs import tensor
from bench.kernels.verification import (
    RANDOM_WALK,
    SAFETY,
    ErrorBound,
    Verification,
    compare,
    worst_of,
)

TRIAD_SCALE = 3.0
VERIFIED_AT_ONCE = 1 << 22  # elements

# `read` adds up parts of the array, not all of it: one sum of 8 significant bits would not show that a
# thousandth of the array was skipped, and in float16 it would overflow.
PARTS = 1 << 12


class Memory(Kernel):
    """`copy`: y = a; `read`: y = Σ a; `triad`: y = a + 3·b. Each array holds `size_mib` MiB.

    `read` adds up each of 4096 equal, contiguous parts of the array: y[i] = Σ_j a[i · elements / 4096 + j].
    """

    name: ClassVar[str] = "memory"
    error_bound = ErrorBound(
        "copy: 0; read: 2·(u_out + √n·u_acc), triad: 2·(u_out + √2·u_acc)",
        f"the result and the sums before it: n = elements / {PARTS}, or two terms; of read relative to "
        "‖a‖",
        RANDOM_WALK,
    )

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
        """Return the bytes read and written; the few additions are not counted."""
        arrays = {"copy": 2, "read": 1, "triad": 3}[self.operation]
        return Work(flops=0, bytes=arrays * self.elements * DTYPES[self.dtype].bytes)

    def memory_bytes(self) -> int:
        """Return the bytes of all arrays."""
        return self.work(0).bytes

    def make_inputs(self, seed: int) -> dict[str, Operand]:
        """Return `a` and, for triad, `b`, both [elements].

        Values are as likely negative as positive: a sum of n grows as √n, and a thousandth that is left
        out is 3 % of it.
        """
        names = ("a", "b") if self.operation == "triad" else ("a",)
        return {
            name: Operand(
                tensor(
                    (self.elements,),
                    self.dtype,
                    seed=seed,
                    name=f"memory/{name}",
                    distribution=self.inputs,
                ),
                self.dtype,
            )
            for name in names
        }

    def tolerance(self) -> float:
        """Return 0 for a copy, else twice the rounding of the result and of the sums before it."""
        if self.operation == "copy":
            return 0.0
        roundoff = DTYPES[self.dtype].output_roundoff
        terms = self.elements / PARTS if self.operation == "read" else 2
        return float(SAFETY * (roundoff + np.sqrt(terms) * accumulate_roundoff(self.dtype)))

    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Compare all of `y` ([elements], or [parts]), in blocks that bound the host's memory."""
        a, y = inputs["a"].array, outputs["y"]
        if self.operation == "read":
            parts = a.reshape(PARTS, -1)
            sums = parts.sum(axis=1, dtype=np.float64)
            size = max(
                np.linalg.norm(sums), np.sqrt(np.einsum("ij,ij->", parts, parts, dtype=float))
            )
            return compare(y, sums, self.tolerance(), "every sum", float(size))
        if y.shape != a.shape:
            return compare(y, a, self.tolerance(), "every element")
        checks = []
        for start in range(0, len(a), VERIFIED_AT_ONCE):
            part = slice(start, start + VERIFIED_AT_ONCE)
            ref = a[part].astype(np.float64)
            if self.operation == "triad":
                ref += TRIAD_SCALE * inputs["b"].array[part].astype(np.float64)
            checks.append(compare(y[part], ref, self.tolerance(), "every element"))
        return worst_of(checks)
