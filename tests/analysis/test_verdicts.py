"""Verdicts on intervals of ratios, and on ratios without one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.verdicts import DIRECTIONS, VERDICTS, counts_text, directions, verdicts


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.03, 1.20, "faster"),
        (1.01, 1.20, "undecided"),
        (0.80, 0.97, "slower"),
        (0.99, 1.01, "same"),
        (0.90, 1.10, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_verdicts(low, high, verdict):
    assert verdicts(np.array([low]), np.array([high]), 0.02)[0] == verdict


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0, 0.9))
def test_a_verdict_is_never_two(a, b, threshold):
    low, high = sorted((a, b))
    found = verdicts(np.array([low]), np.array([high]), threshold)[0]
    assert found in VERDICTS
    if found == "faster":
        assert low > 1
    if found == "slower":
        assert high < 1


def test_a_ratio_without_an_interval_has_a_direction():
    named = directions(np.array([1.5, 1.01, 0.5]), 0.02)
    assert named.tolist() == ["faster, no interval", "same, no interval", "slower, no interval"]
    assert set(named) == set(DIRECTIONS)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, ""),
        ({"slower": 2, "undecided": 1}, "2 slower, 1 undecided"),
        ({"faster, no interval": 1, "slower, no interval": 3}, "1 faster, 3 slower, no interval"),
        ({"same": 1, "same, no interval": 2}, "1 same; 2 same, no interval"),
    ],
)
def test_counts(counts, text):
    assert counts_text({**dict.fromkeys((*VERDICTS, *DIRECTIONS), 0), **counts}) == text
