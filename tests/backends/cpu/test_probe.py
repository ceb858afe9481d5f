"""The probe: which repetitions count, how long they are, and what its machine code really takes."""

from __future__ import annotations

import ctypes
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.cpu import probe
from backends.cpu.probe import (
    CHAIN_LINKS,
    Calibration,
    Code,
    Times,
    calibrate,
    fastest,
    overlapping,
    rate,
    run_together,
)
from tests.backends.cpu.machine_loops import additions, needs_loops


def test_only_repetitions_with_all_at_work_count() -> None:
    first = [(0, 30, 50), (50, 100, 150), (150, 170, 190)]
    second = [(45, 100, 185)]
    # The first thread's 0 to 50 ran while the second had not begun, its last when that was over.
    assert overlapping([first, second]) == [(50, 100, 150), (45, 100, 185)]
    assert overlapping([first]) == first
    assert overlapping([[(0, 40, 90)], [(95, 100, 120)]]) == []


@given(st.lists(st.lists(st.integers(1, 50), min_size=3, max_size=12), min_size=1, max_size=4))
def test_the_first_to_end_and_the_last_to_begin_bound_what_counts(steps: list[list[int]]) -> None:
    times: list[list[Times]] = []
    for thread in steps:
        marks = [sum(thread[: place + 1]) for place in range(len(thread))]
        times.append([(a, a + 1, b) for a, b in pairwise(marks)])
    counted = overlapping(times)
    for begin, _, end in counted:
        assert all(thread[0][0] <= begin and end <= thread[-1][2] for thread in times)


def test_rate_of_steps_and_threads() -> None:
    calibration = Calibration(iterations=10, links=40)
    disturbed = [[(0, 900, 1900)], [(1950, 2000, 2010)]]  # never both at work
    undisturbed = [[(0, 200, 320)], [(0, 210, 310)]]
    # 320 and 310 end at different times: only the second thread's lies inside.
    assert rate([disturbed, undisturbed], calibration) == [21e-9, 400 / 100e-9]
    # Where none overlaps, all count.
    assert rate([disturbed], calibration) == [5e-9, 400 / 10e-9]


@needs_loops
def test_a_link_of_the_chain_takes_a_cycle_like_any_addition() -> None:
    """A loop of additions takes as many cycles, by the chain's clock, as it has additions.

    If additions were joined or eliminated the loop would seem shorter. Both chains run side by side.
    """
    code = Code(additions(100).code)
    calibration = calibrate(code)
    waiting = ctypes.c_int64()
    ratios = []
    for _ in range(8):
        waiting.value = 1
        times = code.run(calibration, 5, ctypes.addressof(waiting))
        seconds, hertz = rate([[times]], calibration)
        ratios.append(seconds * hertz)
    # The clock itself may change in between, when a neighbor on the same host begins or ends.
    assert min(abs(ratio - 100) for ratio in ratios) < 3
    assert calibration.links in range(110, 150)


@needs_loops
def test_skipped_links_are_not_executed() -> None:
    code = Code(additions(1).code)
    waiting = ctypes.c_int64()

    def chained(links: int) -> int:
        waiting.value = 1
        calibration = Calibration(20_000, links)
        return fastest(code.run(calibration, 5, ctypes.addressof(waiting)))[1]

    turns = [(chained(100), chained(CHAIN_LINKS)) for _ in range(6)]
    short, long = (min(each) for each in zip(*turns, strict=True))
    assert long / short == pytest.approx(CHAIN_LINKS / 100, rel=0.1)


@needs_loops
def test_threads_wait_for_each_other_in_each_step() -> None:
    code = Code(additions(50).code)
    loops = [(code, Calibration(2_000, 60)), (code, Calibration(500, 60))]
    announced: list[int] = []
    times = run_together(loops, [0, 1, 0, 1, 1], 3, announced.append)
    assert announced == [0, 1, 0, 1, 1]
    assert [[len(thread) for thread in step] for step in times] == [[probe.REPETITIONS] * 3] * 5
    for step in times:
        for begin, middle, end in (each for thread in step for each in thread):
            assert begin < middle < end
    for before, after in pairwise(times):
        # No thread begins a step before all have come, so all have ended the one before.
        assert max(thread[-1][2] for thread in before) <= min(thread[0][0] for thread in after)


def test_machine_code_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OSError, match="on Linux only"):
        Code(b"\xc3")


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_vector_length_is_a_multiple_of_128_bits() -> None:
    assert probe.sve_bytes() % 16 == 0
