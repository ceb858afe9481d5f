"""Terms of sums: one that is missing shows along itself, however small its part in the norm."""

from dataclasses import replace

import numpy as np
import pytest

from bench.kernels.terms import TermBound, Terms, missing_term

ROWS, COLUMNS, OWNERS, WIDTH = 12, 400, 20, 300
BOUND = TermBound(rounding=0.05, coherent=0.03, inner=200)
NAMES = ("expert", "all experts")


@pytest.fixture(params=[False, True], ids=["added", "mixed"])
def total(request):
    """The sum of twenty terms per row, and the terms, added as they are or after a projection."""
    random = np.random.default_rng(0)
    width = WIDTH if request.param else COLUMNS
    vectors = random.normal(size=(ROWS * OWNERS, width)).astype(np.float32)
    mixing = random.normal(size=(COLUMNS, width)) if request.param else None
    rows, owners = np.divmod(np.arange(ROWS * OWNERS), OWNERS)
    return summed(Terms(vectors, rows, owners, NAMES, mixing), np.ones(ROWS * OWNERS))


def summed(terms, factors):
    mixed = terms.vectors if terms.mixing is None else terms.vectors @ terms.mixing.T
    ref = np.zeros((ROWS, COLUMNS))
    np.add.at(ref, terms.rows, mixed * factors[:, None])
    return ref, terms


def rounded(ref):
    noise = np.random.default_rng(1).normal(size=ref.shape)
    return ref + BOUND.rounding * noise * np.sqrt(np.square(ref).mean())


def test_rounding_is_not_taken_for_a_missing_term(total):
    ref, terms = total
    assert missing_term(rounded(ref) - ref, ref, terms, BOUND) == ""


@pytest.mark.parametrize(
    ("wrong", "factor", "name"),
    [
        (slice(7, 8), 0.0, "expert 7 in row 0 is off by -"),
        (slice(7, None, OWNERS), 0.0, "expert 7 is off by -"),
        (slice(7, None, OWNERS), 1.4, "expert 7 is off by +0."),
        (slice(None), 1.1, "all experts is off by +0."),
    ],
    ids=["one term", "one owner", "scaled", "all scaled"],
)
def test_a_wrong_term_is_named(total, wrong, factor, name):
    ref, terms = total
    factors = np.ones(len(terms.rows))
    factors[wrong] = factor
    out = rounded(summed(terms, factors)[0])
    fault = missing_term(out - ref, ref, terms, BOUND)
    assert fault.startswith(name), fault


def test_equal_values_do_not_average_out(total):
    ref, terms = total
    factors = np.ones(len(terms.rows))
    factors[7] = 0
    difference = summed(terms, factors)[0] - ref
    assert missing_term(difference, ref, terms, BOUND)
    assert not missing_term(difference, ref, terms, replace(BOUND, rounding=0.3, spread=False))


def test_terms_of_length_zero_are_not_missing(total):
    ref, terms = total
    nothing = replace(terms, vectors=np.zeros_like(terms.vectors))
    assert missing_term(np.zeros_like(ref), np.zeros_like(ref), nothing, BOUND) == ""
