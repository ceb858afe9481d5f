"""Kernel `matmul`: batch × [m, k] · [k, n], the product that every peak rate is quoted for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bench.kernels.base import FloatArray, Kernel, Operand, Size, Verification, Work, compare
from bench.kernels.dtypes import DTYPES, accumulate_roundoff
from bench.kernels.inputs import generator, tensor

# A product up to this size is verified whole; a larger one in this many random rows and columns.
WHOLE_FLOPS = 1 << 31
SAMPLED = 32


class Matmul(Kernel):
    """c[b] = a[b] · b[b] for `batch` independent products.

    `layout` gives how each operand lies in memory, as BLAS does: `n` row-major as written, `t`
    transposed, so that `nt` has a as [m, k] and b as [n, k] (a linear layer's weights).
    The result has the dtype's output type: int32 for int8, bfloat16 for float8 and float4.
    """

    name: ClassVar[str] = "matmul"

    m: Size
    n: Size
    k: Size
    batch: Size = 1
    layout: Literal["nn", "nt", "tn", "tt"] = "nn"

    def shape(self, model: str | None = None) -> str:
        """Return `m×n×k`, with the batch before it and the layout behind where they are not plain."""
        batch = f"{self.batch}·" if self.batch > 1 else ""
        layout = f" {self.layout}" if self.layout != "nn" else ""
        return f"{batch}{self.m}×{self.n}×{self.k}{layout}"

    def work(self, seed: int) -> Work:
        """Return 2·batch·m·n·k FLOPs, and the bytes of both operands and the result."""
        dtype = DTYPES[self.dtype]
        operands = self.m * self.k + self.k * self.n
        return Work(
            flops=2 * self.batch * self.m * self.n * self.k,
            bytes=self.batch
            * (dtype.stored_bytes(operands) + self.m * self.n * dtype.output_bytes),
        )

    def memory_bytes(self) -> int:
        """Return the bytes of both operands and the result."""
        return self.work(0).bytes

    def make_inputs(self, seed: int) -> dict[str, Operand]:
        """Return `a` [batch, m, k] and `b` [batch, k, n], each stored as `layout` says."""
        a = (self.m, self.k) if self.layout[0] == "n" else (self.k, self.m)
        b = (self.k, self.n) if self.layout[1] == "n" else (self.n, self.k)
        return {
            name: Operand(
                tensor(
                    (self.batch, *shape),
                    self.dtype,
                    seed=seed,
                    name=f"matmul/{name}",
                    distribution=self.inputs,
                ),
                self.dtype,
            )
            for name, shape in (("a", a), ("b", b))
        }

    def tolerance(self) -> float:
        """Return the relative error that rounding alone can explain, times two.

        Random rounding errors add as a random walk: √k of the accumulator's, plus one of the result
        and one of each operand (Higham, Accuracy and Stability of Numerical Algorithms, 3.1 and
        Higham & Mary 2019 for the square root).
        """
        dtype = DTYPES[self.dtype]
        accumulated = np.sqrt(self.k) * accumulate_roundoff(self.dtype)
        return float(2 * (accumulated + dtype.output_roundoff + 2 * dtype.multiply_roundoff))

    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Compare `c` [batch, m, n] with float64 products: whole, or in random rows and columns."""
        a, b, c = inputs["a"].array, inputs["b"].array, outputs["c"]
        a = a if self.layout[0] == "n" else a.swapaxes(1, 2)
        b = b if self.layout[1] == "n" else b.swapaxes(1, 2)
        if c.shape != (self.batch, self.m, self.n) or self.work(seed).flops <= WHOLE_FLOPS:
            return compare(c, _product(a, b), self.tolerance(), "every element")
        random = generator(seed, "matmul/verify")
        batch = int(random.integers(self.batch))
        rows = np.sort(random.choice(self.m, min(SAMPLED, self.m), replace=False))
        columns = np.sort(random.choice(self.n, min(SAMPLED, self.n), replace=False))
        compared = f"{len(rows)} random rows and {len(columns)} random columns of product {batch}"
        across = compare(
            c[batch, rows], _product(a[batch, rows], b[batch]), self.tolerance(), compared
        )
        down = compare(
            c[batch][:, columns].T,
            _product(a[batch], b[batch][:, columns]).T,
            self.tolerance(),
            compared,
        )
        return max(across, down, key=lambda half: (not half.passed, half.rel_error))


def _product(a: NDArray[Any], b: NDArray[Any]) -> FloatArray:
    """Return a · b in float64, converting no more of either than is needed."""
    product: FloatArray = np.matmul(a.astype(np.float64), b.astype(np.float64))
    return product
