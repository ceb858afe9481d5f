"""Takes the samples of one case in one process: calibration, warm-up, values, stopping rule.

pyperf's Runner does the sampling, in worker mode and a few values at a time, so that its method,
metadata and file format are kept while one warm process serves many cases and stops each of them
as soon as it is known precisely enough.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import pyperf

from bench.analysis.statistics import LEAST_SAMPLES, median_interval

# A sample lasts at least this long: 100 times what the host's scheduler may take at a bad moment,
# and far above the resolution of any device's events.
MIN_SAMPLE_S = 0.02

# Six samples of 0.02 s could all fall into one quiet moment of a busy machine; values are spread
# over half a second at least, so that the interval has seen what a neighbour does.
LEAST_SPAN_S = 0.5

# Warm-up goes on while a sample beats the best so far by more than this; two in a row must not.
STEADY = 0.02
WARM_UP_SHARE = 0.2

# A sample that warm-up has shown to be too short is calibrated anew, so many times in all.
MOST_CALIBRATIONS = 3

# A case whose single executions outlast the budget is given up to this many budgets for six samples.
LONGEST_BUDGETS = 4
MOST_SAMPLES = 1000

TimeFunction = Callable[[int], float]


@dataclass(frozen=True)
class Goal:
    """When a case is known well enough."""

    precision: float  # relative half-width of the median's 95 % interval
    time_budget_s: float  # seconds of samples


@dataclass(frozen=True)
class Samples:
    """What one process measured of one case, as a pyperf run, and why it stopped there."""

    run: pyperf.Run
    loops: int
    stop_reason: str
    calibrate_s: float
    warm_up_s: float
    sample_s: float


class Sampler:
    """pyperf's Runner, of which a process may have one; takes the samples of case after case."""

    def __init__(self) -> None:
        self._runner = pyperf.Runner()
        self._runner.parse_args(
            ["--worker", "--calibrate-loops", "--quiet", f"--min-time={MIN_SAMPLE_S}"]
        )
        self._names = (f"batch {number}" for number in itertools.count())

    def sample(
        self,
        name: str,
        run: TimeFunction,
        goal: Goal,
        progress: Callable[[str, list[float]], None],
        before_values: Callable[[], None],
    ) -> Samples:
        """Measure `run(loops) -> seconds` until `goal` is met.

        `progress` is told the phase and the values so far after each batch; `before_values` is
        called between warm-up and the first value.
        """
        started = time.monotonic()
        warm_ups: list[tuple[int, float]] = []
        calibrate_s = 0.0
        for _ in range(MOST_CALIBRATIONS):
            progress("calibrate", [])
            began = time.monotonic()
            calibration = self._batch(run, loops=0, values=1)
            loops = calibration.get_loops()
            warm_ups += calibration.warmups or ()
            calibrate_s += time.monotonic() - began
            progress("warm up", [])
            steady = self._warm_up(run, loops, warm_ups, goal)
            # One slow execution at the start is no reason to take samples too short to be trusted.
            if steady * loops >= MIN_SAMPLE_S / 2:
                break

        before_values()
        warmed = time.monotonic()
        values: list[float] = []
        while True:
            batch = self._batch(run, loops=loops, values=_batch_size(values, loops, goal))
            values += batch.values
            progress("measure", values)
            reason = stop_reason(values, time.monotonic() - warmed, goal)
            if reason is not None:
                break
        metadata = {**calibration.get_metadata(), "name": name, "loops": loops}
        del metadata["calibrate_loops"], metadata["duration"]
        return Samples(
            run=pyperf.Run(values, warmups=warm_ups, metadata=metadata, collect_metadata=False),
            loops=loops,
            stop_reason=reason,
            calibrate_s=calibrate_s,
            warm_up_s=warmed - started - calibrate_s,
            sample_s=time.monotonic() - warmed,
        )

    def _warm_up(
        self, run: TimeFunction, loops: int, warm_ups: list[tuple[int, float]], goal: Goal
    ) -> float:
        """Run until two samples in a row are no faster; return the best seconds of one execution."""
        began = time.monotonic()
        best, steady, spent = warm_ups[-1][1], 0, 0.0
        while steady < 2 and spent + best * loops < WARM_UP_SHARE * goal.time_budget_s:
            value = self._batch(run, loops=loops, values=1).values[0]
            steady = steady + 1 if value > (1 - STEADY) * best else 0
            best = min(best, value)
            warm_ups.append((loops, value))
            spent = time.monotonic() - began
        return best

    def _batch(self, run: TimeFunction, *, loops: int, values: int) -> pyperf.Run:
        """Let pyperf take some values, or calibrate the number of loops when `loops` is 0."""
        args = self._runner.args
        args.loops, args.calibrate_loops = loops, loops == 0
        args.warmups, args.values = 0, values
        # pyperf prints each result; the supervisor shows them better.
        with contextlib.redirect_stdout(io.StringIO()):
            benchmark = self._runner.bench_time_func(next(self._names), run)
        return benchmark.get_runs()[0]


def stop_reason(values: list[float], spent_s: float, goal: Goal) -> str | None:
    """Return why sampling stops here, or None to go on: precision, time_budget or max_samples."""
    interval = median_interval(values)
    if interval is not None:
        low, high = interval
        tight = (high - low) / 2 <= goal.precision * statistics.median(values)
        if tight and spent_s >= min(LEAST_SPAN_S, goal.time_budget_s):
            return "precision"
        if len(values) >= MOST_SAMPLES:
            return "max_samples"
    enough = 1 if len(values) >= LEAST_SAMPLES else LONGEST_BUDGETS
    return "time_budget" if spent_s >= enough * goal.time_budget_s else None


def _batch_size(values: list[float], loops: int, goal: Goal) -> int:
    """Return how many values to take before the next look: six, then a quarter more each time.

    Slow cases are looked at after every value, so that a budget is kept.
    """
    if values and max(values) * loops > goal.time_budget_s / 20:
        return 1
    if not values:
        return LEAST_SAMPLES if goal.time_budget_s > LEAST_SAMPLES * MIN_SAMPLE_S else 1
    return max(1, len(values) // 4)
