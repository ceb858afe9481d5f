"""Outputs before and after timing: equal, equal within rounding, or wrong."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.outputs import disagreement, fingerprint


def outputs(seed=0, shape=(16, 64)):
    return {"c": np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)}


def test_fingerprints_tell_values_shapes_types_and_names():
    first = outputs()["c"]
    same = {fingerprint({"c": first}), fingerprint({"c": first.copy()})}
    assert len(same) == 1
    others = [
        {"d": first},
        {"c": first.T},
        {"c": first.reshape(-1)},
        {"c": first.astype(np.float64)},
        {"c": first.view(np.int32)},
        {"c": np.nextafter(first, np.inf)},
    ]
    assert len({*same, *map(fingerprint, others)}) == 7


@given(st.integers(0, 15), st.integers(0, 63), st.sampled_from([1.0, -0.5, 1e3, np.nan, np.inf]))
def test_one_wrong_element_is_found(row, column, change):
    verified, left = outputs(), outputs()
    left["c"][row, column] += change
    assert f"[{row}, {column}]" in disagreement(verified, left, 1e-3)


def test_other_last_bits_are_rounding():
    verified = outputs(shape=(256, 1024))
    noise = np.random.default_rng(1).standard_normal((256, 1024))
    left = {"c": (verified["c"] * (1 + 1e-3 / 2 * noise)).astype(np.float32)}
    assert fingerprint(left) != fingerprint(verified)
    assert disagreement(verified, left, 1e-3) is None


def test_integers_have_to_be_exact():
    verified = {"c": np.arange(12, dtype=np.int32).reshape(3, 4)}
    left = {"c": verified["c"].copy()}
    assert disagreement(verified, left, 0.0) is None
    left["c"][2, 3] += 1
    assert "1 of 12 elements of c" in disagreement(verified, left, 0.0)


@pytest.mark.parametrize(
    ("left", "message"),
    [({}, "c is missing"), ({"c": np.zeros((64, 16), np.float32)}, r"shape \(64, 16\)")],
)
def test_what_is_not_there(left, message):
    assert re.search(message, disagreement(outputs(), left, 1e-3))
