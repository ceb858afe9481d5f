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

# Deviations up to this many times the expected one occur among the millions of values that are judged one
# by one: elements, rows, and the terms of sums.
MOST_DEVIATIONS = 8.0

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
    `fault` says what is wrong where the error of the whole does not.
    """

    rel_error: float
    tolerance: float
    passed: bool
    compared: str
    fault: str = ""

    @property
    def explanation(self) -> str:
        """What is wrong with outputs that have not passed."""
        return self.fault or (
            f"relative error {self.rel_error:.2g} of {self.compared}; rounding explains "
            f"{self.tolerance:.2g} at most"
        )


def compare(
    out: NDArray[Any],
    ref: FloatArray,
    tolerance: float,
    compared: str,
    scale: float | None = None,
    *,
    independent: bool = False,
) -> Verification:
    """Compare `out` with `ref`, both [..., rows, columns]: as a whole, by row and by element.

    The error of the whole, ‖out − ref‖, is relative to `scale`, by default ‖ref‖. Pass a larger one where
    `ref` is a difference of larger terms, whose rounding error it inherits. Where each element is computed
    from the operands alone, so that rounding errors are `independent`, rows and columns that are scaled
    wrongly stand out, too.
    """
    if out.shape != ref.shape:
        return failed(tolerance, compared, f"shape {out.shape} instead of {ref.shape}")
    difference = out.astype(np.float64) - ref
    error = float(np.linalg.norm(difference))
    if not np.isfinite(error):
        return failed(tolerance, compared, f"{compared}: not all values finite")
    size = float(np.linalg.norm(ref)) if scale is None else scale
    rel_error = error / size if size else (0.0 if error == 0 else float("inf"))
    fault = ""
    if error and rel_error <= tolerance:
        table = (-1, ref.shape[-1] if ref.ndim else 1)
        fault = _local_fault(
            difference.reshape(table), ref.reshape(table), tolerance, size, independent
        )
        fault = fault and f"{compared}: {fault}"
    return Verification(rel_error, tolerance, rel_error <= tolerance and not fault, compared, fault)


def failed(tolerance: float, compared: str, fault: str) -> Verification:
    """Return the verification of outputs that cannot be compared with a reference."""
    return Verification(float("inf"), tolerance, False, compared, fault)


def _local_fault(
    difference: FloatArray, ref: FloatArray, tolerance: float, size: float, independent: bool
) -> str:
    """Describe an error of a row, column or element that the norm of the whole hides; "" if none.

    A row or an element may be off by MOST_DEVIATIONS times what is typical. Where errors are independent,
    that of a row along itself averages out over its elements, and that of a column: one that is scaled
    wrongly differs from one that is rounded.
    """
    rms = size / float(np.sqrt(ref.size))
    most = MOST_DEVIATIONS * tolerance
    width = ref.shape[1]
    row_rms = np.maximum(np.sqrt(np.einsum("ij,ij->i", ref, ref) / width), rms)
    errors = np.sqrt(np.einsum("ij,ij->i", difference, difference) / width) / row_rms
    wrong = np.flatnonzero(errors > most)
    if len(wrong):
        return (
            f"row {wrong[0]} is off by {errors[wrong[0]]:.2g}; rounding explains {most:.2g} at most"
        )
    # In most outputs no element is off by more than what is typical allows.
    if max(difference.max(), -difference.min()) > most * rms:
        allowed = most * np.maximum(np.abs(ref), row_rms[:, None])
        elements = np.argwhere(np.abs(difference) > allowed)
        if len(elements):
            row, column = elements[0]
            expected, value = ref[row, column], ref[row, column] + difference[row, column]
            return f"row {row}, column {column} is {value:.6g} instead of {expected:.6g}"
    if not independent:
        return ""
    for axis, line in (("ij,ij->i", "row"), ("ij,ij->j", "column")):
        along = np.einsum(axis, difference, ref)
        own = np.einsum(axis, ref, ref)
        length = ref.size // len(own)
        if length == 1:
            continue
        spread = np.maximum(np.sqrt(own / length), rms) * np.sqrt(own)
        wrong = np.flatnonzero(
            np.abs(along) > tolerance * (own + MOST_DEVIATIONS / SAFETY * spread)
        )
        if len(wrong):
            first = wrong[0]
            return f"{line} {first} is off by {along[first] / own[first]:+.2%} as a whole"
    return ""


def product_tolerance(dtype: str, k: int) -> float:
    """Return the tolerance of a product with inner dimension `k` in `dtype`.

    Rounding errors add as a random walk, hence the square root (Higham & Mary 2019).
    """
    accumulated = np.sqrt(k) * accumulate_roundoff(dtype)
    rounded = DTYPES[dtype]
    return float(SAFETY * (accumulated + rounded.output_roundoff + 2 * rounded.multiply_roundoff))


def worst_of(checks: list[Verification]) -> Verification:
    """Return a check that failed, or the one with the largest error."""
    return max(checks, key=lambda check: (not check.passed, check.rel_error))
