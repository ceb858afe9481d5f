"""Backends that lie about their work or their time are told apart from those that do neither.

Each lie is a real one, in a real worker process of a backend that pip has installed.
"""

from __future__ import annotations

import time

import pytest

from tests.measure.test_faults import config, csv_rows

LIES = {
    "computes only when asked": (61, "wrong_result", "right before timing, wrong after it"),
    "seconds times a thousand": (62, "wrong_timing", "work cannot take longer than the wait"),
    "seconds by three": (63, "wrong_timing", "3 times as long: with timing"),
    "returns before the work is done": (64, "wrong_timing", ""),
    "executes once": (65, "wrong_timing", "time does not grow with work"),
    "right the first time only": (66, "wrong_result", "changed by more than rounding"),
    "wrong from the hundredth execution on": (67, "wrong_result", "1 of 536 elements of c"),
    "a clock that is none": (68, "wrong_timing", "timing is 'the moon'; expected one of host"),
    "no time at all": (69, "wrong_timing", "0 s"),
    "seconds in words": (70, "wrong_timing", "expected seconds, as a finite number"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_ends_in_its_status_within_seconds(plugged, lie):
    size, status, message = LIES[lie]
    config(plugged, size)
    began = time.monotonic()
    done = plugged("run", "c.yaml", "--backend", "lying", "-o", "r.csv", status=1)
    assert time.monotonic() - began < 25, "not by the case's timeout of 30 s"
    (row,) = csv_rows(plugged.folder / "r.csv")
    assert row["status"] == status
    assert message in row["error"]
    if not message:  # the rest of its work gets in the way of its own clock, or comes late
        assert "before the work was done" in row["error"] or "times as long" in row["error"]
    assert row["time_median_s"] == row["achieved_tflops"] == ""
    assert status in done.stdout
    plugged("validate", "r.csv")


def test_the_truth_is_left_alone(plugged):
    config(plugged, 60)
    plugged("run", "c.yaml", "--backend", "lying", "-o", "r.csv")
    (row,) = csv_rows(plugged.folder / "r.csv")
    assert row["status"] == "ok"
