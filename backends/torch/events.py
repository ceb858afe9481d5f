"""Timing by device events, the same on every torch device that has streams: cuda, npu, xpu.

Where the host launches more slowly than the device executes, events would time the host. A kernel that only
waits is therefore queued before the first event, for as long as the host takes to launch what follows: by
the time the device gets there, everything is queued (as nvbench does with its blocking kernel).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from backends.torch.implementation import Step

# CUDA queues about a thousand launches and then makes the host wait for a free place. A launch takes the host
# 2 µs at least, so that what it launches in this time fits.
QUEUED_S = 2e-3

# The device is kept waiting for the time that the last launches took, with a margin, but never longer than
# MOST_COVER_S: a first execution that loads libraries takes seconds.
COVER = 1.3
LEAST_COVER_S = 50e-6
MOST_COVER_S = 0.1

# A step that waits for the device in the middle cannot be queued in advance; after so many attempts in a row
# it is timed as it is.
MOST_MISSES = 5

# The device was ahead of the host if less than this share of the time was left when the host had launched
# everything.
DRAIN_SHARE = 0.1


class EventTimer:
    """Device events around the steps; the host waits after each burst that fits the device's queue.

    `host_bound` says whether the device waited for the host in most bursts of the last call; None where
    there is no `block`, which keeps the current stream busy for so many seconds.
    """

    timing = "events"

    def __init__(self, device: torch.device, block: Callable[[float], None] | None = None) -> None:
        """Time on a dedicated stream of `device`, which needs an index."""
        self._module = torch.get_device_module(device)
        self._device = device
        self._stream = own_stream(device)
        self._start = self._module.Event(enable_timing=True)
        self._end = self._module.Event(enable_timing=True)
        self._module.synchronize(device.index)
        self._block = block
        self._launch_s: float | None = (
            None  # the host's time for one step, unknown before the first
        )
        self._misses = 0
        self.host_bound: bool | None = None

    def __call__(self, steps: list[Step]) -> float:
        """Run the steps on the stream; return the seconds between the events."""
        # Operands were created on the stream that is current here, possibly just now.
        self._stream.wait_stream(self._module.current_stream(self._device))
        with self._module.stream(self._stream):
            if self._block is None:
                return self._timed(steps)
            seconds, starved = 0.0, []
            while steps:
                size = len(steps)
                if self._launch_s:
                    size = max(1, int(QUEUED_S / self._launch_s))
                burst, steps = steps[:size], steps[size:]
                burst_s, ahead = self._burst(burst)
                seconds += burst_s
                starved.append(not ahead)
            self.host_bound = 2 * sum(starved) > len(starved)
        return seconds

    def _timed(self, steps: list[Step]) -> float:
        self._start.record(self._stream)
        for step in steps:
            step()
        self._end.record(self._stream)
        self._end.synchronize()
        return self._seconds()

    def _burst(self, steps: list[Step]) -> tuple[float, bool]:
        """Time a burst behind the blocking kernel; also return whether the host was ahead of the device."""
        cover_s = 0.0
        if self._launch_s is not None and self._misses < MOST_MISSES:
            cover_s = min(LEAST_COVER_S + COVER * self._launch_s * len(steps), MOST_COVER_S)
            assert self._block is not None
            self._block(cover_s)
        self._start.record(self._stream)
        began = time.perf_counter()
        for step in steps:
            step()
        launched = time.perf_counter()
        covered = bool(cover_s) and not self._start.query()
        self._end.record(self._stream)
        self._end.synchronize()
        drain_s = time.perf_counter() - launched
        self._launch_s = (launched - began) / len(steps)
        if cover_s:
            self._misses = 0 if covered else self._misses + 1
        seconds = self._seconds()
        return seconds, covered or drain_s > DRAIN_SHARE * seconds

    def _seconds(self) -> float:
        return float(self._start.elapsed_time(self._end)) / 1e3

    def now(self) -> Any:
        """Record an event on the stream."""
        event = self._module.Event(enable_timing=True)
        event.record(self._stream)
        return event

    def between(self, start: Any, end: Any) -> float:
        """Compute the seconds between two events that have completed."""
        return float(start.elapsed_time(end)) / 1e3


@cache
def own_stream(device: torch.device) -> Any:
    """Make the stream on which a device's executions are timed and recorded.

    One for all cases: libraries keep a workspace of tens of megabytes per stream.
    """
    return torch.get_device_module(device).Stream(device.index)


@cache
def launch_seconds(device: torch.device) -> float:
    """Measure the launch time of an operator: the least mean over sequences of tiny additions."""
    with torch.inference_mode():
        one = torch.ones(1, device=device)
        return least_seconds(EventTimer(device), lambda: {"sum": one.add_(0)})


def least_seconds(timer: EventTimer, step: Step) -> float:
    """Time a step by its least mean over ten sequences of 200."""
    steps = [step] * 200
    return min(timer(steps) for _ in range(10)) / len(steps)
