"""Checks the times that a backend reports against the host's clock and against the work.

A backend's `run` returns seconds by its own timer. The host's clock around the call bounds them: work
cannot take longer than the call that waits for it. And twice the executions take about twice as long,
unless something else than the work is timed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

from bench.backend import Prepared

Run = Callable[[int], float]

# Two good clocks differ by parts per million; device events resolve half a microsecond or so.
CLOCKS_DIFFER = 0.02
EVENT_S = 1e-4

# With timing `host` the same clock is read within the call and around it: in the best of several long calls
# the two times agree to this share. In a single call a busy host may interfere.
HOST_SHARE = 0.8
HOST_CALLS = 3
HOST_CALL_S = 0.01

# If executions double this often while the time does not even double, something else is timed.
DOUBLINGS_WITHOUT_GROWTH = 10

# Twice the executions have to take this much longer, in the best of several attempts. Among ranks, waking up
# the others may take as long as all executions on a busy machine, so more of them are compared.
TIMES, GROUP_TIMES = 2, 4
LEAST_GROWTH = 1.5
GROWTH_ATTEMPTS = 16

# A host that takes this many times the device's seconds is worth a remark.
NOTABLE_WALL = 3.0

# Samples of at least this length show whether work goes on after `run` has returned. Outputs that come later
# than an idle device's by half of this and half of a sample are late; a busy host may be the reason once, but
# not each time.
LATE_S = 0.02
LATE_ATTEMPTS = 3


class WrongTiming(Exception):
    """An impossible time; the text is a sentence for the row."""


@dataclass(frozen=True)
class TimedCall:
    """One call of `run`: executions, seconds that it returned, and seconds by the host's clock."""

    loops: int
    seconds: float
    wall_s: float


class CheckedRun:
    """A case's `run`, with the host's clock around each call. Raises WrongTiming.

    `timing` says which clock `run` reads: the host's own must agree with the host's. A `simulated`
    device's clock is made up, and may be ahead of the host's. A run that `meets` other ranks spends
    time at a barrier before its clock starts.
    """

    def __init__(
        self,
        run: Run,
        timing: str,
        *,
        simulated: bool = False,
        multiple: int = 1,
        meets: bool = False,
    ) -> None:
        self._run = run
        self._multiple = multiple
        self._meets = meets
        self._timing = timing
        self._simulated = simulated
        self.calls: list[TimedCall] = []

    def whole(self, loops: float) -> int:
        """Return the least number of executions that a call can make and that is no smaller than `loops`."""
        return math.ceil(loops / self._multiple) * self._multiple

    def __call__(self, loops: int) -> float:
        """Execute `loops` times and return the seconds, if they can be true."""
        start = time.perf_counter()
        seconds = self._run(loops)
        wall_s = time.perf_counter() - start
        if isinstance(seconds, bool) or not isinstance(seconds, Real) or not math.isfinite(seconds):
            raise WrongTiming(f"run returned {seconds!r:.80}; expected seconds, as a finite number")
        seconds = float(seconds)
        if seconds < 0:
            raise WrongTiming(f"run returned {seconds:g} s for {executions(loops)}")
        if seconds > (1 + CLOCKS_DIFFER) * wall_s + EVENT_S and not self._simulated:
            raise WrongTiming(
                f"run returned {seconds:.3g} s for {executions(loops)}, but came back after "
                f"{wall_s:.3g} s by the host's clock: work cannot take longer than the wait for it"
            )
        self.calls.append(TimedCall(loops, seconds, wall_s))
        return seconds

    def check_host(self) -> None:
        """Raise WrongTiming where a clock that is said to be the host's runs differently."""
        long = [call for call in self.calls if call.wall_s >= HOST_CALL_S]
        if self._timing != "host" or self._meets or len(long) < HOST_CALLS:
            return
        best = max(long, key=lambda call: call.seconds / call.wall_s)
        if best.seconds < HOST_SHARE * best.wall_s:
            times = best.wall_s / best.seconds if best.seconds else math.inf
            raise WrongTiming(
                f"run returned {best.seconds:.3g} s for {executions(best.loops)} that took "
                f"{best.wall_s:.3g} s by the host's clock, {times:.2g} times as long: with timing "
                "`host` the two have to agree"
            )

    def check_growth(self) -> None:
        """Raise WrongTiming where many times as many executions took no more time."""
        last = self.calls[-1]
        fewer = [r for r in self.calls if r.loops << DOUBLINGS_WITHOUT_GROWTH <= last.loops]
        if not fewer:
            return
        # The first call may have been slow for other reasons; any smaller number of executions serves.
        least = min((r for r in self.calls if r.loops < last.loops), key=lambda r: r.seconds)
        if last.seconds < 2 * least.seconds or last.seconds == 0:
            raise WrongTiming(_no_growth(least, last))

    def check_proportion(self, loops: int) -> None:
        """Raise WrongTiming where several times `loops` executions hardly take longer than `loops`."""
        once, more = [], []
        times = GROUP_TIMES if self._meets else TIMES
        for _ in range(GROWTH_ATTEMPTS):
            once.append(self._timed_call(loops))
            more.append(self._timed_call(times * loops))
            fast, slow = (min(rs, key=lambda r: r.seconds) for rs in (once, more))
            if slow.seconds >= LEAST_GROWTH * fast.seconds:
                return
        raise WrongTiming(_no_growth(fast, slow))

    def _timed_call(self, loops: int) -> TimedCall:
        self(loops)
        return self.calls[-1]

    def remark(self) -> str | None:
        """Return a sentence where the host took many times the device's seconds; None otherwise."""
        seconds = sum(call.seconds for call in self.calls)
        wall_s = sum(call.wall_s for call in self.calls)
        if (
            self._simulated
            or self._timing == "host"
            or self._meets
            or wall_s < NOTABLE_WALL * seconds
        ):
            return None
        return (
            f"the host waited {wall_s:.3g} s for {seconds:.3g} s by the device's clock: launches or "
            "synchronization take the rest"
        )


def check_finished(prepared: Prepared, loops: int, sample_s: float) -> None:
    """Raise WrongTiming where outputs take longer right after a sample than on an idle device.

    A device that works in order hands its outputs over when all that was asked before is done. So
    work that goes on after `run` has returned shows as a wait.
    """
    loops *= math.ceil(LATE_S / sample_s)
    for _ in range(LATE_ATTEMPTS):
        returned_s, after_s, idle_s = seconds_to_outputs(prepared, loops)
        if after_s - idle_s <= LATE_S / 2 + returned_s / 2:
            return
    raise WrongTiming(
        f"run returned {after_s - idle_s:.3g} s before the work was done: outputs came after "
        f"{after_s:.3g} s, on an idle device after {idle_s:.3g} s"
    )


def seconds_to_outputs(prepared: Prepared, loops: int) -> tuple[float, float, float]:
    """Execute; return the seconds that `run` reports, then those to outputs, right after and when idle."""
    return prepared.run(loops), _seconds_to_output(prepared), _seconds_to_output(prepared)


def _seconds_to_output(prepared: Prepared) -> float:
    began = time.perf_counter()
    prepared.outputs()
    return time.perf_counter() - began


def executions(count: int) -> str:
    """Return a number of executions in words."""
    return f"{count} execution{'s' * (count != 1)}"


def _no_growth(fewer: TimedCall, more: TimedCall) -> str:
    return (
        f"time does not grow with work: {executions(fewer.loops)} took {fewer.seconds:.3g} s, "
        f"{executions(more.loops)} took {more.seconds:.3g} s"
    )
