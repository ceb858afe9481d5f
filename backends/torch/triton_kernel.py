"""A persistent matrix product in Triton: as many programs as SMs, each computing tile after tile.

Tiles are taken in groups of rows, so that those in flight at one time share operands in the L2 cache.
"""

import os
from typing import Any

import triton
import triton.language as tl

from backends.torch.triton_tiles import TILES

GROUP = 8

# Triton's interpreter, which tests use, has no clock for tuning.
TUNED = [(16, 32, 16, 4, 1)] if os.environ.get("TRITON_INTERPRET") == "1" else TILES


@triton.autotune(  # type: ignore[untyped-decorator, unused-ignore]
    configs=[
        triton.Config({"BM": bm, "BN": bn, "BK": bk}, num_warps=warps, num_stages=stages)
        for bm, bn, bk, warps, stages in TUNED
    ],
    key=["m", "n", "k", "a_row", "b_row"],  # the operands' layout decides which tiles are best
)
@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _tiles(  # type: ignore[no-untyped-def]
    a,
    b,
    c,
    m,
    n,
    k,
    a_row,
    a_column,
    b_row,
    b_column,
    c_row,
    PROGRAMS: tl.constexpr,
    GROUP_ROWS: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
) -> None:
    rows = tl.cdiv(m, BM)
    columns = tl.cdiv(n, BN)
    for tile in range(tl.program_id(0), rows * columns, PROGRAMS):
        first = tile // (GROUP_ROWS * columns) * GROUP_ROWS
        height = min(rows - first, GROUP_ROWS)
        inside = tile % (GROUP_ROWS * columns)
        i = ((first + inside % height) * BM + tl.arange(0, BM)).to(tl.int64)
        j = ((inside // height) * BN + tl.arange(0, BN)).to(tl.int64)
        p = tl.arange(0, BK).to(tl.int64)  # offsets along k exceed 32 bits in large operands
        total = tl.zeros((BM, BN), dtype=tl.float32)
        for start in range(0, k, BK):
            # Rows and columns beyond the edge read the first ones again and are not written.
            left = a + (i % m)[:, None] * a_row + (start + p)[None, :] * a_column
            right = b + (start + p)[:, None] * b_row + (j % n)[None, :] * b_column
            x = tl.load(left, mask=(start + p)[None, :] < k, other=0.0)
            y = tl.load(right, mask=(start + p)[:, None] < k, other=0.0)
            total = tl.dot(x, y, total)
        tl.store(
            c + i[:, None] * c_row + j[None, :],
            total.to(c.dtype.element_ty),
            mask=(i[:, None] < m) & (j[None, :] < n),
        )


def multiply(a: Any, b: Any, c: Any, programs: int) -> None:
    """Write a · b into c: a [m, k] and b [k, n] in either layout, c [m, n] row-major."""
    (m, k), n = a.shape, b.shape[1]
    _tiles[(programs,)](
        a, b, c, m, n, k, *a.stride(), *b.stride(), c.stride(0), PROGRAMS=programs, GROUP_ROWS=GROUP
    )
