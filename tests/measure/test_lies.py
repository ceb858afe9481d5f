"""Backends that lie about their work or their time, or break the contract, and one that does neither.

Each lie is a real one, in a real worker process of a backend that pip has installed.
"""

from __future__ import annotations

import time

import pytest

from tests.conftest import bench_in
from tests.measure.test_faults import between, config, csv_rows

LIES = {
    "computes only when asked": (61, "wrong_result", "right before timing, wrong after it"),
    "seconds times a thousand": (62, "wrong_timing", "work cannot take longer than the wait"),
    "seconds by three": (63, "wrong_timing", "3 times as long: with timing"),
    "returns before the work is done": (64, "wrong_timing", ""),
    "executes once": (65, "wrong_timing", "time does not grow with work"),
    "right the first time only": (66, "wrong_result", "changed by more than rounding"),
    "wrong from the hundredth execution on": (67, "wrong_result", "1 of 536 elements of c"),
    "a clock that is none": (68, "error", "timing is 'the moon'; expected one of host"),
    "no time at all": (69, "wrong_timing", "0 s"),
    "seconds in words": (70, "wrong_timing", "expected seconds, as a finite number"),
    "true for seconds": (71, "wrong_timing", "run returned True; expected seconds"),
    "more seconds than there were": (72, "wrong_timing", "run returned 1e+300 s for 1 execution"),
    "less than no time": (73, "wrong_timing", "run returned -"),
    "always the same time": (74, "wrong_timing", "time does not grow with work"),
    "no clock": (75, "error", "timing is None; expected one of host"),
    "complex outputs": (76, "error", "c is of complex64; expected a numpy array of real numbers"),
    "one output too many": (77, "error", "returned c, d; matmul has no d"),
    "outputs as strings": (78, "error", "c is of <U32; expected a numpy array of real numbers"),
    "outputs as lists": (79, "error", "c is of list; expected a numpy array of real numbers"),
    "outputs of another shape": (80, "wrong_result", "shape (640,) instead of (1, 80, 8)"),
    "outputs without names": (81, "error", "expected numpy arrays by name"),
    "no outputs": (82, "error", "returned None; expected numpy arrays by name"),
    "outputs as objects": (83, "error", "c is of object; expected a numpy array of real numbers"),
    "a number for a name": (84, "error", "named an output 0; expected text"),
    "bytes in words": (85, "error", "flush_bytes is 'none'; expected bytes, as an int"),
    "compilation in words": (86, "error", "compile_s is 'fast'; expected seconds or None"),
    "a stage of negative time": (87, "error", "experts took -1.0; expected seconds above 0"),
    "an output of another name": (88, "error", "returned y; matmul also has 'c'"),
}


@pytest.fixture(scope="module")
def lies(tmp_path_factory, plugin_packages):
    """One run of all lies, with the truth before and after each: its rows by size, and its output."""
    bench = bench_in(tmp_path_factory.mktemp("lies"), PYTHONPATH=str(plugin_packages))
    config(bench, *between(LIES.values()), rounds=1)
    began = time.monotonic()
    done = bench("run", "c.yaml", "--backend", "lying", "-o", "r.csv", "--stages", status=1)
    assert time.monotonic() - began < 25 * len(LIES), "no lie was ended by the timeout of 30 s"
    bench("validate", "r.csv")
    return csv_rows(bench.folder / "r.csv"), done


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_ends_in_its_status(lies, lie):
    size, status, message = LIES[lie]
    rows, done = lies
    (row,) = [row for row in rows if row["m"] == str(size)]
    assert row["status"] == status
    assert message in row["error"]
    if not message:  # the rest of its work gets in the way of its own clock, or comes late
        assert "before the work was done" in row["error"] or "times as long" in row["error"]
    if status != "wrong_result":
        assert "backend lying" in row["error"]
    assert row["time_median_s"] == row["achieved_tflops"] == ""
    assert status in done.stdout


def test_the_truth_is_left_alone(lies):
    statuses = [row["status"] for row in lies[0] if int(row["m"]) >= 100]
    assert statuses == ["ok"] * (len(LIES) + 1)
