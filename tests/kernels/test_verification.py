"""Verification: what passes, what does not, and that every kernel says what its tolerance allows."""

import numpy as np
import pytest

from bench.kernels.base import Kernel
from bench.kernels.verification import MOST_DEVIATIONS, Verification, compare, worst_of
from bench.plugins import kernels

REF = np.ones((1000, 4))


def test_an_error_counts_relative_to_the_reference():
    check = compare(REF * 1.01, REF, 0.011, "every element")
    assert check.rel_error == pytest.approx(0.01)
    assert check.passed
    assert not compare(REF * 1.01, REF, 0.009, "every element").passed


def test_one_wrong_row_does_not_hide_among_a_thousand():
    off = MOST_DEVIATIONS * 0.01 * np.array([1, 1, -1, -1])
    out = REF.copy()
    out[7] += 1.01 * off
    check = compare(out, REF, 0.01, "every element")
    assert check.rel_error < 0.01
    assert not check.passed
    assert "row 7 is off by 0.081" in check.explanation
    out[7] = REF[7] + 0.99 * off
    assert compare(out, REF, 0.01, "every element").passed


@pytest.mark.parametrize("axis", [0, 1])
def test_a_row_or_column_that_is_scaled_is_not_taken_for_a_rounded_one(axis):
    ref = np.random.default_rng(0).normal(size=(400, 400))
    out = ref.copy()
    out.swapaxes(0, axis)[7] *= 1.02
    assert compare(out, ref, 0.01, "every element").passed
    check = compare(out, ref, 0.01, "every element", independent=True)
    assert check.rel_error < 0.01
    assert f"{('row', 'column')[axis]} 7 is off by +2.00% as a whole" in check.explanation


def test_one_wrong_element_does_not_hide_in_its_row():
    ref = np.random.default_rng(0).normal(size=(400, 400))
    out = ref.copy()
    out[3, 5] += 1
    assert "row 3, column 5" in compare(out, ref, 0.01, "every element").explanation


def test_a_scale_replaces_the_norm_of_the_reference():
    size = float(np.linalg.norm(REF))
    assert compare(REF * 1.01, REF, 0.006, "every element", scale=2 * size).passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_fail(value):
    out = REF.copy()
    out[0, 0] = value
    check = compare(out, REF, 1e9, "every element")
    assert not check.passed
    assert "not all values finite" in check.explanation


def test_a_wrong_shape_fails():
    assert "shape (1000, 3)" in compare(REF[:, :3], REF, 1.0, "every element").explanation


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
