"""Sensors of any vendor's device during a measurement: readings, counters, and their summary.

A thread reads a GPU's sensors 20 times per second. It sleeps between readings, and a reading is a few
short calls that release the interpreter's lock, so that the thread that launches kernels is not disturbed
(benchmarks/gpu_timers.py measures it).

A new sensor is a field of Reading and one of the same name in bench.backend.Telemetry.
"""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Protocol

import psutil

from bench.backend import Telemetry
from bench.errors import DeviceLost

INTERVAL_S = 0.05


@dataclass(frozen=True)
class Reading:
    """The sensors at one moment; None where there is no such sensor."""

    at_s: float  # time.monotonic()
    power_w: float | None = None
    clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    temperature_c: float | None = None
    busy: float | None = None
    memory_busy: float | None = None
    throttle: tuple[str, ...] = ()


# Telemetry has the median of each.
SENSORS = tuple(field.name for field in fields(Reading) if field.name not in ("at_s", "throttle"))


class Counting(Protocol):
    """A device with counters, each None where it has none."""

    def energy_j(self) -> float | None:
        """Read the energy taken since some moment in the past."""

    def uncorrected_errors(self) -> int | None:
        """Read how many memory errors ECC could not repair."""

    def other_processes(self) -> int | None:
        """Count the processes of others on the device."""


@dataclass(frozen=True)
class Counters:
    """A device's counters at one moment."""

    energy_j: float | None
    uncorrected_errors: int | None
    other_processes: int | None

    @classmethod
    def of(cls, device: Counting) -> Counters:
        """Read the counters of a device."""
        return cls(device.energy_j(), device.uncorrected_errors(), device.other_processes())


def with_counters(telemetry: Telemetry, before: Counters, after: Counters) -> Telemetry:
    """Add the changes of the counters; a device's own energy counter replaces integrated power."""
    energy_j = telemetry.energy_j
    if before.energy_j is not None and after.energy_j is not None:
        # A counter that did not move carries no information.
        energy_j = after.energy_j - before.energy_j or None
    errors = None
    if before.uncorrected_errors is not None and after.uncorrected_errors is not None:
        errors = after.uncorrected_errors - before.uncorrected_errors
    others = [n for n in (before.other_processes, after.other_processes) if n is not None]
    return replace(
        telemetry,
        energy_j=energy_j,
        ecc_errors=errors,
        other_processes=max(others, default=None),
    )


class Watch:
    """Reads the sensors in a thread, from its construction until `end`."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        """Take the first reading at once, in this thread; what `read` raises comes through."""
        self._read = read
        self._lost: DeviceLost | None = None
        self._stop = threading.Event()
        self.readings = [read()]
        self._thread = threading.Thread(target=self._watch, name="sensors", daemon=True)
        self._thread.start()

    def end(self) -> list[Reading]:
        """Stop after one more reading; return all. Raises DeviceLost if the GPU is gone."""
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
    """Compute each sensor's median, every throttle reason that occurred, and the integrated energy."""
    medians = {name: median([getattr(reading, name) for reading in readings]) for name in SENSORS}
    reasons = sorted({name for reading in readings for name in reading.throttle})
    return Telemetry(
        **medians,  # type: ignore[arg-type]  # Telemetry's fields of these names are numbers
        energy_j=integrated_j(readings),
        throttle="; ".join(reasons) or None,
    )


def integrated_j(readings: Sequence[Reading]) -> float | None:
    """Integrate the power between first and last reading by trapezoids; None below two readings."""
    known = [(r.at_s, r.power_w) for r in readings if r.power_w is not None]
    if len(known) < 2:
        return None
    return sum((t1 - t0) * (p0 + p1) / 2 for (t0, p0), (t1, p1) in pairwise(known))


def median(values: Sequence[float | None]) -> float | None:
    """Compute the median of the known values, None where there is none."""
    known = [value for value in values if value is not None]
    return float(statistics.median(known)) if known else None


def count_others(running: list[int], own: set[int]) -> int | None:
    """Count the running processes that are not ours, None where the driver lists none.

    In a container the driver reports the host's process ids, which ours cannot be recognized by. But our
    processes have a context on the device and must be among them, so that their number is subtracted.
    """
    if not running:
        return None
    others = [pid for pid in running if pid not in own]
    return len(others) if len(others) < len(running) else max(0, len(running) - len(own))


def own_pids() -> set[int]:
    """List this process and its siblings: workers of the same run, which wait for their turn."""
    try:
        siblings = psutil.Process(os.getppid()).children()
    except psutil.Error:  # the parent is outside of a container
        siblings = []
    return {os.getpid(), *(process.pid for process in siblings)}
