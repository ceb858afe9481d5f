"""How outputs are compared with a reference, and what error counts as rounding.

Each kernel computes its own reference and declares its own tolerance; here is the verdict that all of
them share. docs/methods.md prints every kernel's bound (docs/tolerance_table.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.kernels.dtypes import DTYPES, FloatArray, accumulate_roundoff

# Errors that add as a random walk stay below one standard deviation most of the time, below two nearly
# always; a tolerance is this many times the expected error.
SAFETY = 2.0

# One wrong row in thousands hardly changes the norm of the whole, so each row is checked as well.
ROW_FACTOR = 8.0

RANDOM_WALK = "Higham & Mary 2019, SIAM J. Sci. Comput. 41(5)"


@dataclass(frozen=True)
class ErrorBound:
    """What a kernel's tolerance allows for, in the words of the documentation.

    `formula` is in the unit roundoffs of docs/methods.md: u_in of an operand as the multiplier sees it,
    u_acc of the accumulator, u_out of a stored result. `rounded` names the values that are rounded, and
    `source` where the bound comes from.
    """

    formula: str
    rounded: str
    source: str


@dataclass(frozen=True)
class Verification:
    """The result of comparing outputs with the reference.

    `rel_error` is ‖out − ref‖ / ‖ref‖ over everything compared, and `compared` says what that was.
    `passed` requires `rel_error` ≤ `tolerance`, and each row within ROW_FACTOR times as much.
    """

    rel_error: float
    tolerance: float
    passed: bool
    compared: str


def compare(
    out: NDArray[Any],
    ref: FloatArray,
    tolerance: float,
    compared: str,
    scale: float | None = None,
) -> Verification:
    """Compare `out` with `ref`, both [..., rows, columns], in the Frobenius norm.

    Errors are relative to `scale`, by default ‖ref‖. Pass a larger one where `ref` is a difference of
    larger terms, whose rounding error it inherits.
    """
    if out.shape != ref.shape:
        return Verification(
            float("inf"), tolerance, False, f"shape {out.shape} instead of {ref.shape}"
        )
    difference = out.astype(np.float64) - ref
    if not np.isfinite(difference).all():
        return Verification(float("inf"), tolerance, False, f"{compared}: not all values finite")
    scale = float(np.linalg.norm(ref)) if scale is None else scale
    error = float(np.linalg.norm(difference))
    rel_error = error / scale if scale else (0.0 if error == 0 else float("inf"))
    # Relative to the typical row, as a row of its own may be zero: no expert served the token.
    rows = difference.reshape(-1, difference.shape[-1])
    worst = float(np.linalg.norm(rows, axis=1).max())
    typical = scale / float(np.sqrt(len(rows)))
    passed = rel_error <= tolerance and worst <= ROW_FACTOR * tolerance * typical
    return Verification(rel_error, tolerance, passed, compared)


def product_tolerance(dtype: str, k: int) -> float:
    """Return the tolerance of a product with inner dimension `k` in `dtype`.

    Rounding errors add as a random walk, hence the square root (Higham & Mary 2019).
    """
    accumulated = np.sqrt(k) * accumulate_roundoff(dtype)
    rounded = DTYPES[dtype]
    return float(SAFETY * (accumulated + rounded.output_roundoff + 2 * rounded.multiply_roundoff))


def worst_of(checks: list[Verification]) -> Verification:
    """Return the check that failed, or the one with the largest error."""
    return max(checks, key=lambda check: (not check.passed, check.rel_error))
