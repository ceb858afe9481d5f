"""The devices of a run against each other."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.devices import device_spread

COLUMNS = ["case_id", "implementation", "device_index", "status", "time_median_s"]


def frame(*rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def test_the_slowest_device_is_named_and_the_spread_is_of_the_median():
    rows = [("a", "x", device, "ok", time_s) for device, time_s in enumerate([1.0, 1.0, 1.1, 0.9])]
    rows += [("b", "x", device, "ok", time_s) for device, time_s in enumerate([2.0, 2.0, 2.4, 2.0])]
    found = device_spread(frame(*rows))
    assert found.slowest == 2
    assert found.relative_time[2] == pytest.approx((1.1 * 1.2) ** 0.5)
    assert found.spreads == {"a": pytest.approx(0.2), "b": pytest.approx(0.2)}
    assert found.widest in ("a", "b")


def test_a_case_that_a_device_could_not_measure_says_nothing_of_the_others():
    found = device_spread(
        frame(
            ("a", "x", 0, "ok", 1.0),
            ("a", "x", 1, "ok", 1.0),
            ("b", "x", 0, "ok", 9.0),
            ("b", "x", 1, "crashed", None),
        )
    )
    assert set(found.spreads) == {"a"}
    assert found.relative_time == {0: 1.0, 1: 1.0}


def test_one_device_or_no_common_case_is_no_comparison():
    assert device_spread(frame(("a", "x", 0, "ok", 1.0))) is None
    assert device_spread(frame(("a", "x", 0, "ok", 1.0), ("b", "x", 1, "ok", 1.0))) is None
    assert device_spread(frame(("a", "x", 0, "error", None))) is None


@given(st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=16))
def test_no_device_is_slower_than_the_slowest(times):
    found = device_spread(frame(*(("a", "x", i, "ok", t) for i, t in enumerate(times))))
    # Ratios of times a rounding apart may be equal.
    assert times[found.slowest] == pytest.approx(max(times), rel=1e-12)
    assert found.spreads["a"] >= 0
