"""A thread that reads a GPU's sensors 20 times a second while it is measured, whoever made the GPU.

It sleeps between readings, and a reading is a few short calls that leave the interpreter's lock, so
that the process that launches kernels is not disturbed (benchmarks/gpu_timers.py measures it).
"""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import psutil

from bench.backend import Telemetry
from bench.errors import DeviceLost

INTERVAL_S = 0.05


@dataclass(frozen=True)
class Reading:
    """What the sensors said at one moment; None where there is no such sensor."""

    at_s: float
    power_w: float | None = None
    clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    temperature_c: float | None = None
    busy: float | None = None
    memory_busy: float | None = None
    throttle: tuple[str, ...] = ()


class Watch:
    """Readings from its construction to `end`."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        """Take the first reading at once, in this thread; what `read` raises comes through."""
        self._read = read
        self._lost: DeviceLost | None = None
        self._stop = threading.Event()
        self.readings = [read()]
        self._thread = threading.Thread(target=self._watch, name="sensors", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it is still reading."""
        return self._thread.is_alive()

    def end(self) -> list[Reading]:
        """Stop; return all readings, with a last one. Raises DeviceLost if the GPU is gone."""
        self._stop.set()
        self._thread.join()
        if self._lost is not None:
            raise self._lost
        self.readings.append(self._read())
        return self.readings

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            try:
                self.readings.append(self._read())
            except DeviceLost as lost:
                self._lost = lost
                return


def summarize(readings: Sequence[Reading]) -> Telemetry:
    """Return medians, every throttle reason that was seen, and the energy by integrated power."""
    seen = sorted({name for reading in readings for name in reading.throttle})
    return Telemetry(
        power_w=_median([reading.power_w for reading in readings]),
        energy_j=integrated_j(readings),
        clock_mhz=_median([reading.clock_mhz for reading in readings]),
        memory_clock_mhz=_median([reading.memory_clock_mhz for reading in readings]),
        temperature_c=_median([reading.temperature_c for reading in readings]),
        busy=_median([reading.busy for reading in readings]),
        memory_busy=_median([reading.memory_busy for reading in readings]),
        throttle="; ".join(seen) or None,
    )


def integrated_j(readings: Sequence[Reading]) -> float | None:
    """Return the energy between first and last reading by trapezoids; None below two readings."""
    known = [(r.at_s, r.power_w) for r in readings if r.power_w is not None]
    if len(known) < 2:
        return None
    return sum((t1 - t0) * (p0 + p1) / 2 for (t0, p0), (t1, p1) in pairwise(known))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(statistics.median(known)) if known else None


def count_others(running: list[int], own: set[int]) -> int | None:
    """Return how many of the running processes are not ours.

    In a container the driver reports the host's process ids, or none. Then ours, which has a context
    and must be among them, cannot be told by its number, and as many as we have are taken off.
    """
    if not running:
        return None
    others = [pid for pid in running if pid not in own]
    return len(others) if len(others) < len(running) else max(0, len(running) - len(own))


def own_pids() -> set[int]:
    """Return this process and its siblings: workers of the same run, which wait for their turn."""
    try:
        siblings = psutil.Process(os.getppid()).children()
    except psutil.Error:  # the parent is outside of a container
        siblings = []
    return {os.getpid(), *(process.pid for process in siblings)}
