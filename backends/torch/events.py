"""Timing by device events, the same on every torch device that has streams: cuda, npu, xpu."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from backends.torch.implementation import Step


class EventTimer:
    """Device events around the steps; the host waits once, after the last of them."""

    timing = "events"

    def __init__(self, device: torch.device) -> None:
        """Time on a dedicated stream of `device`, which needs an index."""
        self._module = torch.get_device_module(device)
        self._device = device
        self._stream = own_stream(device)
        self._start = self._module.Event(enable_timing=True)
        self._end = self._module.Event(enable_timing=True)
        self._module.synchronize(device.index)

    def __call__(self, steps: list[Step]) -> float:
        """Run the steps on the stream; return the seconds between the events."""
        # Operands were created on the stream that is current here, possibly just now.
        self._stream.wait_stream(self._module.current_stream(self._device))
        with self._module.stream(self._stream):
            self._start.record(self._stream)
            for step in steps:
                step()
            self._end.record(self._stream)
            self._end.synchronize()
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
        timer = EventTimer(device)
        steps: list[Step] = [lambda: {"sum": one.add_(0)}] * 200
        return min(timer(steps) for _ in range(10)) / len(steps)
