"""Kernel `matmul`: batched [m, k] · [k, n], the operation that peak rates are quoted for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bench.kernels.base import Kernel, Operand, Size, Work
from bench.kernels.dtypes import DTYPES, FloatArray
from bench.kernels.inputs import generator, tensor
from bench.kernels.signed_sums import COLUMNS_PER_SUM, product, signed_sums, signs
from bench.kernels.verification import (
    RANDOM_WALK,
    ErrorBound,
    Verification,
    compare,
    product_tolerance,
    worst_of,
)

# Products up to this size are verified element by element, larger ones by sums of columns and of rows. No
# more than so many sums of either: they are products, too.
WHOLE_FLOPS = 1 << 31
SUMS_OF_COLUMNS = 256
SUMS_OF_ROWS = 32


class Matmul(Kernel):
    """c[b] = a[b] · b[b] for `batch` independent products.

    `layout` says how each operand is stored, as in BLAS: `n` row-major as written, `t` transposed. So
    `nt` stores a as [m, k] and b as [n, k], as the weights of a linear layer are. The result has the
    output type of the dtype: int32 for int8, bfloat16 for float8 and float4.
    """

    name: ClassVar[str] = "matmul"
    error_bound = ErrorBound(
        "2·(√k·u_acc + u_out + 2·u_in)",
        "k sums in the accumulator, the result, both operands",
        f"{RANDOM_WALK}; Higham 2002, *Accuracy and Stability of Numerical Algorithms*, 3.1",
    )

    m: Size
    n: Size
    k: Size
    batch: Size = 1
    layout: Literal["nn", "nt", "tn", "tt"] = "nn"

    def shape(self, model: str | None = None) -> str:
        """Return `m×n×k`, preceded by a batch above one and followed by a layout other than `nn`."""
        batch = f"{self.batch}·" if self.batch > 1 else ""
        layout = f" {self.layout}" if self.layout != "nn" else ""
        return f"{batch}{self.m}×{self.n}×{self.k}{layout}"

    def work(self, seed: int) -> Work:
        """Return 2·batch·m·n·k FLOPs, and the bytes of both operands and the result."""
        return Work(
            flops=2 * self.batch * self.m * self.n * self.k,
            bytes=self.memory_bytes(),
        )

    def memory_bytes(self) -> int:
        """Return the bytes of both operands and the result.

        In block formats operands include their scales, of blocks along k.
        """
        dtype = DTYPES[self.dtype]
        operands = dtype.stored_bytes(self.m + self.n, self.k)
        return self.batch * (operands + self.m * self.n * dtype.output_bytes)

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
        """Return twice the rounding of a product whose errors add as a random walk (`error_bound`)."""
        return product_tolerance(self.dtype, self.k)

    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Compare `c` [batch, m, n] with float64 products: every element, or sums of them.

        The sums of rows find a column whose scale is wrong, which sums of columns would hide.
        """
        a, b, c = inputs["a"].array, inputs["b"].array, outputs["c"]
        a = a if self.layout[0] == "n" else a.swapaxes(1, 2)
        b = b if self.layout[1] == "n" else b.swapaxes(1, 2)
        if c.shape != (self.batch, self.m, self.n) or self.work(seed).flops <= WHOLE_FLOPS:
            return compare(c, _product(a, b), self.tolerance(), "every element", independent=True)
        random = generator(seed, "matmul/verify")
        columns = max(COLUMNS_PER_SUM, -(-self.n * self.batch // SUMS_OF_COLUMNS))
        rows = -(-self.m * self.batch // SUMS_OF_ROWS)
        checks = []
        for one_a, one_b, one_c in zip(a, b, c, strict=True):
            checks.append(self._compare_sums(one_a, one_b, one_c, columns, random, "columns"))
            checks.append(self._compare_sums(one_b.T, one_a.T, one_c.T, rows, random, "rows"))
        worst = worst_of(checks)
        compared = f"every element, in sums of {columns} columns and of {rows} rows"
        return replace(worst, compared=compared)

    def _compare_sums(
        self,
        a: NDArray[Any],
        b: NDArray[Any],
        c: NDArray[Any],
        per_sum: int,
        random: np.random.Generator,
        what: str,
    ) -> Verification:
        """Compare the signed sums of the columns of c = a · b."""
        sign = signs(c.shape[1], random)
        sums = signed_sums(b, sign, per_sum)
        return compare(
            signed_sums(c, sign, per_sum),
            product(a, sums),
            self.tolerance(),
            f"sums of {per_sum} {what}",
            independent=True,
        )


def _product(a: NDArray[Any], b: NDArray[Any]) -> FloatArray:
    """Return a · b in float64."""
    return np.asarray(np.matmul(a.astype(np.float64), b.astype(np.float64)))
