"""Sampling: when it stops, and what it keeps."""

import statistics
import time

import pyperf
import pytest

from bench.analysis.statistics import LEAST_VALUES
from bench.measure.sampling import (
    LEAST_SPAN_S,
    MIN_SAMPLE_S,
    Goal,
    Sampler,
    stop_reason,
)
from bench.measure.timing import CheckedRun


@pytest.fixture(scope="session")
def sampler():
    """One for all tests, as pyperf allows one Runner a process; pytest-xdist may part a module's tests."""
    return Sampler()


def quiet(phase, values):
    pass


def steady(seconds):
    """A time function of a case without noise, which tests on a shared machine cannot have for real."""

    def run(loops):
        time.sleep(loops * seconds)
        return loops * seconds

    return CheckedRun(run, "events")


def once(precision, time_budget_s):
    """The goal of an only visit."""
    return Goal(time_budget_s, precision=precision, least=LEAST_VALUES)


def test_a_steady_case_stops_by_precision(sampler):
    samples = sampler.sample("steady", steady(1e-4), once(0.2, 20.0), quiet, lambda: None)
    assert samples.stop_reason == "precision"
    assert samples.loops * 1e-4 >= MIN_SAMPLE_S / 1.01
    assert statistics.median(samples.run.values) == pytest.approx(1e-4)
    assert LEAST_SPAN_S <= samples.sample_s < 20


@pytest.mark.parametrize("loops", [None, 10])
def test_executions_are_always_a_multiple_of_what_one_launch_does(sampler, loops):
    called = []

    def run(loops):
        called.append(loops)
        time.sleep(loops * 1e-4)
        return loops * 1e-4

    checked = CheckedRun(run, "graph", multiple=7)
    samples = sampler.sample("graph", checked, once(0.2, 1.0), quiet, lambda: None, loops)
    assert samples.loops % 7 == 0
    assert all(count % 7 == 0 for count in called)


def test_the_run_is_pyperfs(sampler, tmp_path):
    samples = sampler.sample("named", steady(1e-3), once(0.05, 1.0), quiet, lambda: None)
    benchmark = pyperf.Benchmark([samples.run])
    path = tmp_path / "s.json"
    pyperf.BenchmarkSuite([benchmark]).dump(str(path))
    (loaded,) = pyperf.BenchmarkSuite.load(str(path))
    assert loaded.get_name() == "named"
    assert loaded.get_metadata()["unit"] == "second"
    assert loaded.get_total_loops() == samples.loops
    assert loaded.get_runs()[0].warmups


def test_a_noisy_case_stops_by_budget(sampler):
    turn = iter(range(10**9))

    def noisy(loops):
        seconds = 5e-4 * loops * (1 + next(turn) % 5)
        time.sleep(seconds)
        return seconds

    run = CheckedRun(noisy, "events")
    samples = sampler.sample("noisy", run, once(0.01, 0.3), quiet, lambda: None)
    assert samples.stop_reason == "time_budget"
    assert 0.3 <= samples.sample_s < 20


def test_progress_and_start_of_values_are_told_in_order(sampler):
    events = []
    sampler.sample(
        "events",
        steady(1e-3),
        once(0.1, 1.0),
        lambda phase, values: events.append(phase),
        lambda: events.append("before values"),
    )
    assert events[:3] == ["calibrate", "warm up", "before values"]
    assert set(events[3:]) == {"measure"}


def test_slow_executions_end_after_four_budgets_with_what_there_is():
    goal = once(0.01, 1.0)
    assert stop_reason([5.0], 3.9, goal) is None
    assert stop_reason([5.0], 4.0, goal) == "time_budget"
    assert stop_reason([0.2] * 5, 1.1, goal) is None, "below six samples there is no interval"
    assert stop_reason([0.2, 0.3] * 3, 1.1, goal) == "time_budget"


def test_six_quiet_samples_are_not_enough_when_they_are_short():
    goal = once(0.01, 5.0)
    assert stop_reason([0.02] * 6, 0.12, goal) is None
    assert stop_reason([0.02] * 30, 0.6, goal) == "precision"


def test_one_slow_execution_at_the_start_does_not_decide_the_length_of_samples(sampler):
    ran = []

    def run(loops):
        ran.append(loops)
        seconds = 1e-4 * loops + (0.05 if len(ran) == 1 else 0.0)
        time.sleep(seconds)
        return seconds

    checked = CheckedRun(run, "events")
    samples = sampler.sample("slow start", checked, once(0.05, 5.0), quiet, lambda: None)
    assert samples.loops * 1e-4 >= MIN_SAMPLE_S / 1.01
    assert statistics.median(samples.run.values) == pytest.approx(1e-4)


def test_a_visit_among_several_is_short_and_takes_what_earlier_ones_know(sampler):
    goal = Goal(1.0, samples=5)
    first = sampler.sample("first", steady(1e-4), goal, quiet, lambda: None)
    assert first.stop_reason == "samples"
    assert len(first.run.values) == 5
    run = steady(1e-4)
    later = sampler.sample("later", run, goal, quiet, lambda: None, first.loops)
    assert {call.loops for call in run.calls} == {first.loops}, "nothing is calibrated again"
    assert len(later.run.warmups) == 1
    assert later.calibrate_s == 0


def test_a_visit_whose_loops_have_become_too_few_is_calibrated_again(sampler):
    samples = sampler.sample("faster", steady(1e-4), Goal(1.0, samples=3), quiet, lambda: None, 10)
    assert samples.loops * 1e-4 >= MIN_SAMPLE_S / 1.01


def test_slow_executions_have_fewer_samples_in_a_visit():
    goal = Goal(time_budget_s=0.5, samples=5)
    assert stop_reason([0.3], 0.3, goal) is None
    assert stop_reason([0.3, 0.3], 0.6, goal) == "time_budget"
