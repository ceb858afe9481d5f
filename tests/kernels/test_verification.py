"""Verification: what passes, what does not, and that every kernel says what its tolerance allows."""

import numpy as np
import pytest

from bench.kernels.base import Kernel
from bench.kernels.verification import ROW_FACTOR, Verification, compare, worst_of
from bench.plugins import kernels

REF = np.ones((1000, 4))


def test_an_error_counts_relative_to_the_reference():
    check = compare(REF * 1.01, REF, 0.011, "every element")
    assert check.rel_error == pytest.approx(0.01)
    assert check.passed
    assert not compare(REF * 1.01, REF, 0.009, "every element").passed


def test_one_wrong_row_does_not_hide_among_a_thousand():
    out = REF.copy()
    out[7] *= 1 + 1.01 * ROW_FACTOR * 0.01
    check = compare(out, REF, 0.01, "every element")
    assert check.rel_error < 0.01
    assert not check.passed
    out[7] = REF[7] * (1 + 0.99 * ROW_FACTOR * 0.01)
    assert compare(out, REF, 0.01, "every element").passed


def test_a_scale_replaces_the_norm_of_the_reference():
    size = float(np.linalg.norm(REF))
    assert compare(REF * 1.01, REF, 0.006, "every element", scale=2 * size).passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_fail(value):
    out = REF.copy()
    out[0, 0] = value
    check = compare(out, REF, 1e9, "every element")
    assert not check.passed
    assert "not all values finite" in check.compared


def test_a_wrong_shape_fails():
    assert "shape (1000, 3)" in compare(REF[:, :3], REF, 1.0, "every element").compared


def test_a_failure_outranks_a_larger_error():
    passed, failed = Verification(0.5, 1.0, True, "a"), Verification(0.1, 1.0, False, "b")
    assert worst_of([passed, failed]) is failed
    assert worst_of([passed, Verification(0.4, 1.0, True, "c")]) is passed


@pytest.mark.parametrize("kernel", kernels().values(), ids=kernels())
def test_every_kernel_documents_its_tolerance(kernel):
    bound = kernel.error_bound
    assert bound.formula
    assert bound.rounded
    assert bound.source


def test_a_kernel_without_a_tolerance_is_refused():
    class Incomplete(Kernel):
        name = "incomplete"

    with pytest.raises(TypeError, match="tolerance"):
        Incomplete(dtype="float32")
