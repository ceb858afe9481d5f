"""Sensors of any vendor's device during a measurement: readings, counters, and their summary.

A thread reads a GPU's sensors 20 times per second. It sleeps between readings, and a reading is a few
short calls that release the interpreter's lock, so that the thread that launches kernels is not disturbed
(benchmarks/gpu_timers.py measures it).

A new sensor is a field of Reading, one of the same name in bench.backend.Telemetry, and its BOUNDS.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Protocol

import psutil

from bench.backend import Telemetry
from bench.errors import DeviceLost

INTERVAL_S = 0.05

# What a sensor of any vendor's device can read. Drivers report what they do not know as a huge number
# (65535 W), and sensors that are asleep or absent as zero.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "power_w": (0.1, 5000.0),
    "clock_mhz": (1.0, 10_000.0),
    "memory_clock_mhz": (1.0, 50_000.0),
    "temperature_c": (0.1, 150.0),
    "busy": (0.0, 1.0),
    "memory_busy": (0.0, 1.0),
}


def plausible(sensor: str, value: float | None) -> float | None:
    """Pass a sensor's reading within its bounds, else None."""
    lowest, highest = BOUNDS[sensor]
    return value if value is not None and lowest <= value <= highest else None


def percent(value: float | None) -> float | None:
    """Pass a percentage of the time, else None."""
    return value if value is not None and 0 <= value <= 100 else None


@dataclass(frozen=True)
class Reading:
    """The sensors at one moment; None where there is no such sensor, or its value is implausible."""

    at_s: float  # time.monotonic()
    power_w: float | None = None
    clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    temperature_c: float | None = None
    busy: float | None = None
    memory_busy: float | None = None
    throttle: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Drop what no device reads."""
        for sensor in BOUNDS:
            object.__setattr__(self, sensor, plausible(sensor, getattr(self, sensor)))


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
    at_s: float  # time.monotonic(), of the energy

    @classmethod
    def of(cls, device: Counting) -> Counters:
        """Read the counters of a device."""
        energy_j, at_s = device.energy_j(), time.monotonic()
        return cls(energy_j, device.uncorrected_errors(), device.other_processes(), at_s)


def with_counters(telemetry: Telemetry, before: Counters, after: Counters) -> Telemetry:
    """Add the changes of the counters; a device's own energy counter replaces integrated power."""
    energy_j = telemetry.energy_j
    if before.energy_j is not None and after.energy_j is not None:
        counted = after.energy_j - before.energy_j
        # A counter that did not move carries no information, nor does one that was reset or invalid.
        mean_w = counted / (after.at_s - before.at_s) if after.at_s > before.at_s else None
        energy_j = counted if plausible("power_w", mean_w) is not None else energy_j
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


def count_others(running: list[int], own: set[int], on_device: int | None = None) -> int | None:
    """Count the running processes that are not ours, None where the driver lists none.

    In a container the driver may report the host's process ids, which ours cannot be recognized by. But
    our processes with a context on the device must be among them: `on_device` of them, or all of `own`.
    """
    if not running:
        return None
    others = [pid for pid in running if pid not in own]
    if len(others) < len(running):
        return len(others)
    return max(0, len(running) - (len(own) if on_device is None else on_device))


def own_pids() -> set[int]:
    """List this process and its siblings: workers of the same run, which wait for their turn."""
    try:
        siblings = psutil.Process(os.getppid()).children()
    except psutil.Error:  # the parent is outside of a container
        siblings = []
    return {os.getpid(), *(process.pid for process in siblings)}
