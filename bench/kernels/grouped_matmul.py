"""Kernel `grouped_matmul`: the matrix products of experts alone, on groups of unequal length.

c[i] = a[i] · b[expert of row i]ᵀ
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bench.kernels.base import Kernel, Operand, Size, Work
from bench.kernels.dtypes import DTYPES, FloatArray
from bench.kernels.inputs import generator, tensor
from bench.kernels.routing import (
    check_sizes,
    choose_experts,
    drawing_bytes,
    expert_load,
    routing_sha256,
)
from bench.kernels.signed_sums import COLUMNS_PER_SUM, product, signed_sums, signs
from bench.kernels.verification import (
    RANDOM_WALK,
    ErrorBound,
    Verification,
    compare,
    product_tolerance,
)

# Products up to this size are verified element by element, larger ones by sums of columns.
WHOLE_FLOPS = 1 << 31
SUMS_OF_COLUMNS = 64

# Sums of values of up to 16 bits are exact enough in float32, which needs no copy of all matrices.
SUM_DTYPES = {"float64": np.float64, "float32": np.float64}


class GroupedMatmul(Kernel):
    """`m` rows of length `k`, each multiplied by the matrix [n, k] of one of `experts`.

    Rows are sorted by expert. `routing` sets how unequal the groups are, as in moe_layer, here with one
    expert per row. FLOPs count the real rows only, 2 · m · n · k; padding groups to equal length is not
    part of the problem.
    """

    name: ClassVar[str] = "grouped_matmul"
    error_bound = ErrorBound(
        "2·(√k·u_acc + u_out + 2·u_in)", "as in matmul, of each row", RANDOM_WALK
    )
    m: Size
    experts: Size
    n: Size
    k: Size
    routing: Literal["balanced", "uniform", "power_law"] = "balanced"
    routing_exponent: Annotated[float, Field(ge=0, le=10)] = 1.0

    @model_validator(mode="after")
    def _plausible(self) -> GroupedMatmul:
        if self.dtype in ("tf32", "hf32", "float8_e4m3", "float4_e2m1"):
            raise ValueError(f"dtype: grouped_matmul has no {self.dtype} form")
        check_sizes(tokens=self.m, experts=self.experts, top_k=1, name="m")
        return self

    def idle_parameters(self) -> dict[str, str]:
        """Return the exponent where loads follow no power law."""
        if self.routing == "power_law":
            return {}
        return {"routing_exponent": "it belongs to `routing: power_law`"}

    def shape(self, model: str | None = None) -> str:
        """Describe rows, experts, widths and routing."""
        skew = f"^{self.routing_exponent:g}" if self.routing == "power_law" else ""
        return f"{self.m} rows {self.experts}×{self.n}×{self.k} {self.routing}{skew}"

    def owners(self, seed: int) -> NDArray[np.int32]:
        """Return the expert of each row, [m], ascending."""
        chosen = choose_experts(
            tokens=self.m,
            experts=self.experts,
            top_k=1,
            groups=1,
            topk_groups=1,
            routing=self.routing,
            exponent=self.routing_exponent,
            seed=seed,
        )
        return np.sort(chosen.ravel())

    def routing_bytes(self) -> int:
        """Return the host memory of a drawing."""
        return drawing_bytes(self.m, self.experts, 1, self.routing)

    def work(self, seed: int) -> Work:
        """Return 2 · m · n · k FLOPs; the bytes of rows, results, and matrices of experts with rows."""
        owners = self.owners(seed)
        counts = np.bincount(owners, minlength=self.experts)
        dtype = DTYPES[self.dtype]
        weight_bytes = int(np.count_nonzero(counts)) * self.n * self.k * dtype.bytes
        moved = self.m * (self.k * dtype.bytes + self.n * dtype.output_bytes)
        return Work(
            flops=2 * self.m * self.n * self.k,
            bytes=weight_bytes + moved,
            weight_bytes=weight_bytes,
            load=expert_load(counts, dropped=0, sha256=routing_sha256(owners)),
        )

    def memory_bytes(self) -> int:
        """Return the bytes of rows, all matrices, and results."""
        dtype = DTYPES[self.dtype]
        inputs = self.k * (self.m + self.experts * self.n)
        return inputs * dtype.bytes + self.m * self.n * dtype.output_bytes

    def make_inputs(self, seed: int) -> dict[str, Operand]:
        """Return `a` [m, k], `b` [experts, n, k] and `ends` [experts] int32, the end of each group."""

        def random(name: str, shape: tuple[int, ...], scale: float) -> Operand:
            array = tensor(
                shape,
                self.dtype,
                seed=seed,
                name=f"grouped_matmul/{name}",
                scale=1.0 if self.dtype == "int8" else scale,
                distribution=self.inputs,
            )
            return Operand(array, self.dtype)

        ends = np.cumsum(np.bincount(self.owners(seed), minlength=self.experts))
        return {
            "a": random("a", (self.m, self.k), 1.0),
            "b": random("b", (self.experts, self.n, self.k), self.k**-0.5),
            "ends": Operand(ends.astype(np.int32), "int32"),
        }

    def tolerance(self) -> float:
        """Return the tolerance of a product with inner dimension k (`error_bound`)."""
        return product_tolerance(self.dtype, self.k)

    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Compare `c` [m, n] with float64 products: every element, or sums of columns of every row."""
        a, b, c = inputs["a"].array, inputs["b"].array, outputs["c"]
        sign: FloatArray = np.ones(self.n)
        per_sum, compared = 1, "every element"
        whole = self.work(seed).flops <= WHOLE_FLOPS
        if c.shape == (self.m, self.n) and not whole:
            sign = signs(self.n, generator(seed, "grouped_matmul/verify"))
            per_sum = max(COLUMNS_PER_SUM, -(-self.n // SUMS_OF_COLUMNS))
            compared = f"every element, in sums of {per_sum} columns"
            c = signed_sums(c, sign, per_sum)
        owners = self.owners(seed)
        ref = np.empty((self.m, -(-self.n // per_sum)))
        for expert in np.unique(owners):
            group = owners == expert
            matrix = (
                b[expert].T.astype(np.float64)
                if whole
                else signed_sums(b[expert].T, sign, per_sum, SUM_DTYPES.get(self.dtype, np.float32))
            )
            ref[group] = product(a[group], matrix)
        return compare(c, ref, self.tolerance(), compared, independent=True)
