"""Checks of the seconds that `run` returns.

A busy machine makes calls longer, never shorter. So every comparison takes the best of several calls, and
is repeated before it fails.
"""

from __future__ import annotations

import math
import statistics
from contextlib import suppress
from typing import Any

from bench.conform.check import Check
from bench.conform.outcomes import Failed, NotApplicable
from bench.conform.subject import CALL_S, Subject, altered, enough_loops, prepared
from bench.kernels.base import Kernel
from bench.measure.timing import (
    GROWTH_ATTEMPTS,
    LATE_S,
    LEAST_GROWTH,
    CheckedRun,
    WrongTiming,
    seconds_to_outputs,
)

FACTORS = (1, 2, 4, 8)
# Eight times the executions take at most this many times as long, in the best of several calls.
MOST_EIGHTFOLD = 64.0

# Below this share of the host's time, a device's clock misses most of the work.
LEAST_DEVICE_SHARE = 0.02
SHARE_CALLS = 16

# The time of one execution has to grow by this factor somewhere between these sizes.
SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
GROWN = 4.0

# A cold execution has to take this much longer than a hot one, for some array below the size of the cache.
COLD_FACTOR = 1.05
COLD_CALL_S = CALL_S / 5
COLD_ATTEMPTS = 16
CACHE_SHARES = (8, 4, 2)
# Larger caches are not filled: it would take long.
MOST_CACHE_BYTES = 128 << 20

FINISHED_ATTEMPTS = 9


def within_wall_time(subject: Subject) -> str:
    """Call `run` for 1, 2, 4 and 8 executions, and as many as take longer."""
    with subject.timed() as run:
        for loops in (*FACTORS, enough_loops(run)):
            run(run.whole(loops))
        last = run.calls[-1]
        if last.seconds <= 0:
            raise Failed(f"run({last.loops}) returned {last.seconds:g} s after {last.wall_s:.3g} s")
        return f"{last.seconds / last.wall_s:.1%} of the wall time of {last.loops} executions"


def share_of_wall_time(subject: Subject) -> str:
    """Compare both clocks over long calls."""
    with subject.prepared(subject.resized(512)) as ready:
        run = subject.checked_run(ready)
        loops = 2 * enough_loops(run)
        wrong: WrongTiming | None = None
        for _ in range(SHARE_CALLS):
            run(loops)
            try:
                run.check_host()
            except WrongTiming as error:
                wrong = error
                continue
            wrong = None
            if len(run.calls) >= 5:
                break
        if wrong is not None:
            raise wrong
        long = [call for call in run.calls if call.wall_s >= CALL_S]
        best = max(call.seconds / call.wall_s for call in long)
        if best < LEAST_DEVICE_SHARE and not subject.device.simulated:
            raise Failed(f"{best:.2%} of the wall time; the timer misses the work")
        return f"{best:.1%} of the wall time, timing {ready.timing}"


def linear_in_executions(subject: Subject) -> str:
    """Compare 1, 2, 4 and 8 times as many executions."""
    with subject.timed() as run:
        loops = enough_loops(run)
        best = dict.fromkeys(FACTORS, math.inf)
        for _ in range(GROWTH_ATTEMPTS):
            for factor in FACTORS:
                best[factor] = min(best[factor], run(factor * loops))
            if _linear(best):
                return f"×{loops}: {_times(best)}"
        raise Failed(f"×{loops}: {_times(best)}")


def _linear(best: dict[int, float]) -> bool:
    grows = all(best[2 * f] >= LEAST_GROWTH * best[f] > 0 for f in FACTORS[:-1])
    return grows and best[8] <= MOST_EIGHTFOLD * best[1]


def _times(best: dict[int, float]) -> str:
    return ", ".join(f"{factor}: {seconds * 1e3:.3g} ms" for factor, seconds in best.items())


def grows_with_size(subject: Subject) -> str:
    """Time larger and larger cases until one execution takes clearly longer."""
    first = math.inf
    seconds = 0.0
    for size in SIZES:
        case = subject.resized(size)
        if not subject.supports(case, subject.probe[1]):
            continue
        with subject.timed(case) as run:
            seconds = _best_execution(run)
        first = min(first, seconds)
        if seconds >= GROWN * first > 0:
            return f"{first:.3g} s, at {case.shape()} {seconds:.3g} s"
    raise Failed(f"{first:.3g} s for the smallest case, {seconds:.3g} s for the largest")


def _best_execution(run: CheckedRun, attempts: int = 3) -> float:
    """Return the seconds of one execution, the best of a few calls; fewer if a call is long."""
    loops = enough_loops(run, CALL_S / 2)
    calls = 1 if run.calls[-1].wall_s > 20 * CALL_S else attempts
    return min(run(loops) for _ in range(calls)) / loops


def finished(subject: Subject) -> str:
    """Ask for outputs right after a long call, and on an idle device."""
    with subject.prepared(subject.resized(256)) as ready:
        run = subject.checked_run(ready)
        loops = enough_loops(run)
        loops *= math.ceil(LATE_S / max(run.calls[-1].seconds, CALL_S / 4))
        # Most of the attempts decide: a busy machine delays some of an honest backend's outputs, and some of
        # its pauses give a backend that returns early the time to finish.
        late = []
        for _ in range(FINISHED_ATTEMPTS):
            returned_s, after_s, idle_s = seconds_to_outputs(ready, loops)
            late.append(after_s - idle_s - returned_s / 2)
        if statistics.median(late) > LATE_S / 2:
            raise WrongTiming(
                f"outputs came {statistics.median(late):.3g} s later than an idle device's, in the "
                f"median of {FINISHED_ATTEMPTS} calls"
            )
        return f"outputs come no later than {LATE_S / 2:.3g} s after an idle device's"


def cold_differs(subject: Subject) -> str:
    """Compare cold and hot executions of cases smaller than the cache."""
    cache_bytes = subject.device.cache_bytes or MOST_CACHE_BYTES
    case, implementation = _streaming_case(subject)
    best_ratio, flushed = 0.0, 0
    for share in CACHE_SHARES:
        hot = altered(case, **_streaming_size(case, min(cache_bytes, MOST_CACHE_BYTES) // share))
        cold = altered(hot, cache="cold")
        if not subject.supports(hot, implementation):
            continue
        with prepared(subject, cold, implementation) as ready:
            flushed = ready.flush_bytes
        if not flushed:
            raise NotApplicable("flush_bytes of a cold case is 0: nothing is flushed")
        if subject.device.cache_bytes and flushed <= subject.device.cache_bytes:
            raise Failed(f"flush_bytes {flushed}, but the cache holds {cache_bytes}")
        if subject.device.simulated:
            return f"{flushed >> 20} MiB flushed; a simulated device has no times"
        best_ratio = max(best_ratio, _cold_over_hot(subject, hot, cold, implementation))
        if best_ratio >= COLD_FACTOR:
            return f"{hot.shape()}: cold takes {best_ratio:.2f} times as long as hot"
    if not flushed:
        raise NotApplicable("no case of the size of the cache is supported")
    raise Failed(
        f"{flushed >> 20} MiB flushed, but cold takes {best_ratio:.2f} times as long as hot"
    )


def _streaming_case(subject: Subject) -> tuple[Kernel, str]:
    """Return a case that reads much and computes little, and an implementation."""
    for kernel in ("memory", "matmul"):
        if subject.kernel in (None, kernel):
            one = Subject(subject.backend, subject.device, kernel, subject.implementation)
            with suppress(NotApplicable):
                return one.probe
    raise NotApplicable(f"{subject.kernel} has no case that depends on the cache alone")


def _streaming_size(case: Kernel, size_bytes: int) -> dict[str, Any]:
    if case.name == "memory":
        return {"operation": "read", "size_mib": max(1, size_bytes >> 20)}
    width = max(64, int((size_bytes / 4) ** 0.5) // 64 * 64)
    return {"m": 16, "n": width, "k": width}


def _cold_over_hot(subject: Subject, hot: Kernel, cold: Kernel, implementation: str) -> float:
    best = {"hot": math.inf, "cold": math.inf}
    with (
        prepared(subject, hot, implementation) as hot_case,
        prepared(subject, cold, implementation) as cold_case,
    ):
        runs = {"hot": subject.checked_run(hot_case), "cold": subject.checked_run(cold_case)}
        # Short calls, so that some are undisturbed on a busy machine.
        loops = {name: enough_loops(run, COLD_CALL_S) for name, run in runs.items()}
        for _ in range(COLD_ATTEMPTS):
            for name, run in runs.items():
                best[name] = min(best[name], run(loops[name]) / loops[name])
    return best["cold"] / best["hot"]


CHECKS = (
    Check(
        "seconds within wall time",
        "Prepared.run",
        "a finite number of seconds above 0, no more than the call took",
        within_wall_time,
    ),
    Check(
        "share of wall time",
        "Prepared.timing",
        "with timing `host` the seconds of a long call are those of the host's clock",
        share_of_wall_time,
    ),
    Check(
        "linear in executions",
        "Prepared.run",
        f"each doubling takes at least {LEAST_GROWTH:g} times as long",
        linear_in_executions,
    ),
    Check(
        "growing with size",
        "Prepared.run",
        f"one execution of a larger case takes {GROWN:g} times as long",
        grows_with_size,
    ),
    Check(
        "synchronized",
        "Prepared.run",
        "the work is done when run returns",
        finished,
    ),
    Check(
        "cold differs from hot",
        "Prepared.flush_bytes",
        f"more than the cache is flushed, and cold takes at least {COLD_FACTOR:g} times as long",
        cold_differs,
    ),
)
