"""Numbers as people read them."""

from __future__ import annotations

import pytest

from bench.analysis.estimate import Estimate, exactly
from bench.text.format import percent_with_interval


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (exactly(0.3), "30 %"),
        (exactly(0.0136), "1.36 %"),
        (exactly(1), "100 %"),
        (exactly(0), "0 %"),
        (Estimate(0.3, 0.25, 0.3456), "30 % [25 %, 34.6 %]"),
    ],
)
def test_shares_are_percentages(share, text):
    assert percent_with_interval(share) == text
