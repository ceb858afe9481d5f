"""Takes the samples of one visit to a case: calibration, warm-up, values, and when there are enough.

pyperf's Runner takes the values, in worker mode, so that its metadata and file format are kept while
one warm process serves many cases. Not here: how many visits a case needs, see measure/stopping_rule.
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

from bench.analysis.statistics import LEAST_VALUES, median_interval
from bench.measure.timing import CheckedRun, WrongTiming

# A sample lasts at least this long: 100 times what the host's scheduler may take at a bad moment,
# and far above the resolution of any device's events.
MIN_SAMPLE_S = 0.02

# Six samples of 0.02 s could all fall into one quiet moment of a busy machine; where a case is
# visited only once, values are spread over half a second at least.
LEAST_SPAN_S = 0.5

# Warm-up goes on while a sample beats the best so far by more than this.
STEADY = 0.02
NEARLY = 0.1
WARM_UP_SHARE = 0.2

# If warm-up shows that samples are too short, calibration is repeated, up to this many times in all.
MOST_CALIBRATIONS = 3

# Calibration ends after this time even if samples are still short: launches on this device are slow.
MOST_CALIBRATION_S = 2.0

# Whether time grows with work is checked where that takes no longer than this.
MOST_PROPORTION_S = 0.25

# A case's only visit may take this many budgets if a single execution takes longer than one.
LONGEST_BUDGETS = 4
MOST_SAMPLES = 1000

# Receives the phase of a visit and its values so far, in seconds.
Progress = Callable[[str, list[float]], None]


@dataclass(frozen=True)
class Goal:
    """When a visit has enough samples: whichever comes first of those that are set.

    `samples` are enough for a visit among several; `precision` (relative half-width of the median's
    95 % interval) is for an only visit; the time budget, in seconds of samples, always ends a visit
    that has `least` samples.
    """

    time_budget_s: float
    samples: int | None = None
    precision: float | None = None
    least: int = 1


@dataclass(frozen=True)
class Samples:
    """What one visit measured, as a pyperf run, and why it stopped there."""

    run: pyperf.Run
    loops: int
    stop_reason: str
    calibrate_s: float
    warm_up_s: float
    sample_s: float


class Sampler:
    """Takes the samples of one visit after another, with the one pyperf Runner that a process may have."""

    def __init__(self) -> None:
        self._runner = pyperf.Runner()
        self._runner.parse_args(["--worker", "--loops=1", "--quiet", f"--min-time={MIN_SAMPLE_S}"])
        self._names = (f"batch {number}" for number in itertools.count())

    def sample(
        self,
        name: str,
        run: CheckedRun,
        goal: Goal,
        progress: Progress,
        before_values: Callable[[], None],
        loops: int | None = None,
    ) -> Samples:
        """Measure `run(loops) -> seconds` until `goal` is met. Raises WrongTiming.

        `loops` come from an earlier visit; without them they are calibrated, and time is checked to grow
        with them. `progress` receives the phase and the values so far; `before_values` is called
        between warm-up and the first value.
        """
        started = time.monotonic()
        calibrate_s = 0.0
        warm_ups: list[tuple[int, float]] = []
        first_visit = loops is None
        loops = None if loops is None else run.whole(loops)
        for _ in range(MOST_CALIBRATIONS):
            if loops is None:
                progress("calibrate", [])
                began = time.monotonic()
                loops = calibrate(run, warm_ups)
                calibrate_s += time.monotonic() - began
            progress("warm up", [])
            steady_s = warm_up(run, loops, warm_ups, goal, first_visit=first_visit)
            # One slow execution at the start is no reason to take samples too short to be trusted.
            if steady_s * loops >= MIN_SAMPLE_S / 2:
                break
            loops = None
        else:
            loops = warm_ups[-1][0]
        if first_visit and 3 * steady_s * loops <= MOST_PROPORTION_S:
            # On a busy machine loops may be fewer than make a sample long enough.
            enough = run.whole(MIN_SAMPLE_S / steady_s) if steady_s > 0 else loops
            run.check_proportion(max(loops, enough))
        run.check_host()

        before_values()
        warmed = time.monotonic()
        values: list[float] = []
        metadata: dict[str, object] = {}
        while True:
            batch = self._batch(run, loops, _batch_size(values, loops, goal))
            values += batch.values
            metadata = metadata or batch.get_metadata()
            progress("measure", values)
            reason = stop_reason(values, time.monotonic() - warmed, goal)
            if reason is not None:
                break
        run.check_host()
        metadata = {**metadata, "name": name, "loops": loops}
        metadata.pop("duration", None)
        return Samples(
            run=pyperf.Run(values, warmups=warm_ups, metadata=metadata, collect_metadata=False),
            loops=loops,
            stop_reason=reason,
            calibrate_s=calibrate_s,
            warm_up_s=warmed - started - calibrate_s,
            sample_s=time.monotonic() - warmed,
        )

    def _batch(self, run: CheckedRun, loops: int, values: int) -> pyperf.Run:
        """Let pyperf take some values."""
        args = self._runner.args
        args.loops, args.warmups, args.values = loops, 0, values

        def timed(loops: int) -> float:
            seconds = run(loops)
            if seconds == 0:
                raise WrongTiming(f"run returned 0 s for {loops} executions")
            return seconds

        # pyperf prints each result; the supervisor shows them better.
        with contextlib.redirect_stdout(io.StringIO()):
            benchmark = self._runner.bench_time_func(next(self._names), timed)
        return benchmark.get_runs()[0]


def calibrate(run: CheckedRun, warm_ups: list[tuple[int, float]]) -> int:
    """Return the number of executions that make a sample just long enough, found by doubling."""
    began = time.monotonic()
    loops = run.whole(1)
    while True:
        seconds = run(loops)
        warm_ups.append((loops, seconds / loops))
        if seconds >= MIN_SAMPLE_S:
            return run.whole(loops * MIN_SAMPLE_S / seconds)
        if seconds > 0 and time.monotonic() - began >= MOST_CALIBRATION_S:
            return loops
        run.check_growth()
        run.check_host()
        loops *= 2


def warm_up(
    run: CheckedRun,
    loops: int,
    warm_ups: list[tuple[int, float]],
    goal: Goal,
    *,
    first_visit: bool,
) -> float:
    """Run until samples get no faster; return the best seconds of one execution.

    In a first visit two samples in a row must be no faster. In a later visit one is enough, or a first
    sample as long as the loops were calibrated for.
    """
    in_a_row = 2 if first_visit else 1
    calibrated = loops > 1 and not first_visit
    began = time.monotonic()
    best = warm_ups[-1][1] if warm_ups and warm_ups[-1][0] == loops else None
    steady = 0
    while best is None or (
        steady < in_a_row
        and time.monotonic() - began + best * loops < WARM_UP_SHARE * goal.time_budget_s
    ):
        value = run(loops) / loops
        steady = steady + 1 if best is not None and value > (1 - STEADY) * best else 0
        best = value if best is None else min(best, value)
        warm_ups.append((loops, value))
        if calibrated and value * loops <= (1 + NEARLY) * MIN_SAMPLE_S:
            break
    return best


def stop_reason(values: list[float], spent_s: float, goal: Goal) -> str | None:
    """Return why a visit ends here, or None to go on: samples, precision, max_samples, time_budget."""
    if goal.samples is not None and len(values) >= goal.samples:
        return "samples"
    if goal.precision is not None and (interval := median_interval(values)) is not None:
        low, high = interval
        tight = (high - low) / 2 <= goal.precision * statistics.median(values)
        if tight and spent_s >= min(LEAST_SPAN_S, goal.time_budget_s):
            return "precision"
    if len(values) >= max(MOST_SAMPLES, goal.least):
        return "max_samples"
    enough = 1 if len(values) >= goal.least else LONGEST_BUDGETS
    return "time_budget" if spent_s >= enough * goal.time_budget_s else None


def _batch_size(values: list[float], loops: int, goal: Goal) -> int:
    """Return how many values to take before the next look.

    An only visit begins with six, then takes a quarter more each time; slow cases are checked after
    every value, to stay within the budget. One visit of several starts with one value, which shows how
    many more fit.
    """
    if not values:
        only = goal.samples is None and goal.time_budget_s > LEAST_VALUES * MIN_SAMPLE_S
        return LEAST_VALUES if only else 1
    sample_s = max(values) * loops
    if goal.samples is not None:
        fitting = int((goal.time_budget_s - sum(values) * loops) / sample_s)
        return max(1, min(goal.samples - len(values), fitting))
    return 1 if sample_s > goal.time_budget_s / 20 else max(1, len(values) // 4)
