"""A clock is believed as far as the host's clock allows."""

import time

import pytest

from bench.measure.timing import CheckedRun, WrongTiming


def sleeping(seconds_each, said=lambda seconds, loops: seconds):
    """A `run` that takes its time, and says of it what `said` makes of that."""

    def run(loops):
        start = time.perf_counter()
        time.sleep(seconds_each * loops)
        return said(time.perf_counter() - start, loops)

    return run


@pytest.mark.parametrize("value", ["0.5", True, 1 + 2j, float("nan"), float("inf"), None])
def test_what_is_no_number_of_seconds_is_refused(value):
    with pytest.raises(WrongTiming, match="expected seconds"):
        CheckedRun(lambda loops: value, "host")(1)


def test_negative_seconds_are_refused():
    with pytest.raises(WrongTiming, match="-1 s for 3 executions"):
        CheckedRun(lambda loops: -1.0, "events")(3)


@pytest.mark.parametrize("timing", ["host", "events"])
def test_work_cannot_take_longer_than_the_wait_for_it(timing):
    run = CheckedRun(sleeping(1e-3, lambda seconds, loops: seconds * 1000), timing)
    with pytest.raises(WrongTiming, match=r"came back after 0\.00"):
        run(1)


def test_a_simulated_devices_clock_may_be_ahead_of_the_hosts():
    run = CheckedRun(lambda loops: 50e-6 * loops, "events", simulated=True)
    assert run(1000) == pytest.approx(0.05)
    assert run.remark() is None


def test_the_hosts_clock_has_to_agree_with_itself():
    run = CheckedRun(sleeping(0.012, lambda seconds, loops: seconds / 3), "host")
    for _ in range(3):
        run(1)
    with pytest.raises(WrongTiming, match="3 times as long"):
        run.check_host()


def test_a_host_that_was_busy_between_two_looks_at_its_clock_is_no_lie():
    turn = iter([0.2, 1.0, 0.3, 0.4])
    run = CheckedRun(sleeping(0.012, lambda seconds, loops: seconds * next(turn)), "host")
    for _ in range(4):
        run(1)
    run.check_host()


def test_a_host_that_waits_long_for_a_device_is_a_remark():
    run = CheckedRun(sleeping(5e-3, lambda seconds, loops: seconds / 5), "events")
    run(1)
    run.check_host()
    assert "the host waited" in run.remark()
    honest = CheckedRun(sleeping(5e-3), "events")
    honest(1)
    assert honest.remark() is None


def test_time_that_does_not_grow_with_work_is_found():
    run = CheckedRun(lambda loops: time.sleep(1e-3) or 1e-3, "events")
    with pytest.raises(WrongTiming, match="time does not grow with work: 1 execution"):
        for doubling in range(20):
            run(1 << doubling)
            run.check_growth()
    with pytest.raises(WrongTiming, match="time does not grow with work"):
        CheckedRun(lambda loops: time.sleep(1e-3) or 1e-3, "events").check_proportion(8)


def test_a_slow_first_call_is_no_lack_of_growth():
    calls = iter([0.004] + [2e-6 * 2**doubling for doubling in range(1, 12)])

    def run(loops):
        seconds = next(calls)
        time.sleep(seconds)
        return seconds

    checked = CheckedRun(run, "events")
    for doubling in range(12):
        checked(1 << doubling)
        checked.check_growth()


def test_honest_work_passes():
    run = CheckedRun(sleeping(2e-3), "host")
    run.check_proportion(2)
    run.check_host()
    assert run.remark() is None
