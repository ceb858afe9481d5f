"""Whether each term of a sum is in it: an expert that is missing from the sum of many.

An output that is the sum of many terms, as that of a mixture-of-experts layer is, may lack one of them and
still be within the rounding error of an 8-bit format. But rounding errors are spread over all directions,
and a missing term lies in one: along a term, the error of n columns is √n times smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.kernels.dtypes import FloatArray
from bench.kernels.verification import MOST_DEVIATIONS

# Terms whose errors are projected at one time; bounds the memory of a float64 copy.
AT_ONCE = 1 << 12


@dataclass(frozen=True)
class Terms:
    """The terms of the rows of a sum: `vectors[i]` [width] belongs to row `rows[i]`, and to `owners[i]`.

    A term is added as it is, or, in a sum that is projected, as mixing · vector with `mixing` [columns,
    width]. `names` says what one owner is called, and what all are.
    """

    vectors: FloatArray
    rows: NDArray[Any]
    owners: NDArray[Any]
    names: tuple[str, str]
    mixing: FloatArray | None = None


@dataclass(frozen=True)
class TermBound:
    """What rounding explains of the error of a term, relative to the term.

    `rounding` is the relative error of the sum, spread over all directions; `inner` the number of values
    that a term is computed from, over which its own error is spread. `coherent` is an error in the
    direction of the term itself: that of its weight.
    """

    rounding: float
    coherent: float
    inner: int
    spread: bool = True  # False where values are equal, so that their errors do not average out


def missing_term(difference: FloatArray, ref: FloatArray, terms: Terms, bound: TermBound) -> str:
    """Describe a term that the sum `ref` [rows, columns] has and the outputs do not; "" if none.

    `difference` [rows, columns] is outputs − `ref`. Its component along a term u is relative to u:
    a = ⟨difference, u⟩ / ‖u‖², −1 where the term is missing. Under rounding, with S² the squares of the
    terms of a row, its standard deviation is rounding · √(S² / (columns · ‖u‖²) + 1 / inner). All terms
    together, those of each owner and each term are judged.
    """
    if not len(terms.rows):
        return ""
    directions, gain = ref.shape[1], 1.0
    if terms.mixing is not None:
        # The squared length of a mixed term, for a matrix without preferred directions.
        width = terms.mixing.shape[1]
        gain = float(np.square(terms.mixing).sum()) / width
        difference = difference @ terms.mixing
        directions = min(directions, width)
    along, squares = _projections(difference, terms)
    squares *= gain
    sums = np.einsum("ij,ij->i", ref, ref) + np.bincount(terms.rows, squares, len(ref))
    inner = bound.inner if bound.spread else 1
    variance = (
        bound.rounding**2
        * squares
        * (sums[terms.rows] / (directions if bound.spread else 1) + squares / inner)
    )
    one, all_terms = terms.names
    worst, fault = 1.0, ""
    for name, groups in (
        (all_terms, np.zeros_like(terms.owners)),
        (f"{one} {{owner}}", terms.owners),
        (f"{one} {{owner}} in row {{row}}", np.arange(len(terms.rows))),
    ):
        error, size, spread = (np.bincount(groups, part) for part in (along, squares, variance))
        allowed = bound.coherent * size + MOST_DEVIATIONS * np.sqrt(spread)
        # Where nothing is allowed, the terms are zero, and so is the error along them.
        excess = np.abs(error) / np.where(allowed > 0, allowed, np.inf)
        most = int(np.argmax(excess))
        if excess[most] > worst:
            term = int(np.flatnonzero(groups == most)[0])
            described = name.format(owner=terms.owners[term], row=terms.rows[term])
            off, limit = error[most] / size[most], allowed[most] / size[most]
            worst = excess[most]
            fault = (
                f"{described} is off by {off:+.2g} of itself; rounding explains {limit:.2g} at most"
            )
    return fault


def _projections(difference: FloatArray, terms: Terms) -> tuple[FloatArray, FloatArray]:
    """Return ⟨difference, u⟩ and ‖u‖² of each term u."""
    along, squares = np.empty(len(terms.rows)), np.empty(len(terms.rows))
    for start in range(0, len(along), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        vectors = terms.vectors[part].astype(np.float64)
        along[part] = np.einsum("ij,ij->i", difference[terms.rows[part]], vectors)
        squares[part] = np.einsum("ij,ij->i", vectors, vectors)
    return along, squares
