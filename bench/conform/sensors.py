"""Checks of sensors: readings of the right type, within what is physically possible, and consistent."""

from __future__ import annotations

import time

from bench.backend import Device, Telemetry
from bench.conform.check import Check
from bench.conform.outcomes import Failed, NotApplicable
from bench.conform.subject import Subject, enough_loops
from bench.measure.border import checked
from bench.measure.timing import CheckedRun

# What a reading of one device can be; no chip takes 20 kW, and none is clocked at 20 GHz.
RANGES: dict[str, tuple[float, float]] = {
    "power_w": (0.0, 20e3),
    "energy_j": (0.0, 1e9),
    "clock_mhz": (1.0, 20e3),
    "memory_clock_mhz": (1.0, 50e3),
    "temperature_c": (-50.0, 200.0),
    "memory_peak_bytes": (0.0, 2.0**50),
    "busy": (0.0, 1.0),
    "memory_busy": (0.0, 1.0),
    "ecc_errors": (0.0, 1e12),
    "other_processes": (0.0, 1e6),
}
READING_S = 0.25
ENERGY_S = 1.0
# Energy counters and power sensors average over other times, but not by this factor.
MOST_ENERGY_RATIO = 2.0
ENERGY_ATTEMPTS = 3


def readings(subject: Subject) -> str:
    """Take readings twice while a case runs."""
    with subject.prepared() as ready:
        run = subject.checked_run(ready)
        loops = enough_loops(run)
        for _ in range(2):
            reading, _elapsed = _read(subject, run, loops, READING_S)
            _expect_possible(subject.device, reading)
    names = [name for name in RANGES if getattr(reading, name) is not None]
    return ", ".join(names) or "no sensor"


def _read(subject: Subject, run: CheckedRun, loops: int, seconds: float) -> tuple[Telemetry, float]:
    """Return the readings over so many seconds of executions, and the time between start and stop."""
    sampler = subject.backend.telemetry(subject.device)
    sampler.start()
    since = time.monotonic()
    while time.monotonic() - since < seconds:
        run(loops)
    reading = sampler.stop()
    return checked(reading, Telemetry, "stop()"), time.monotonic() - since


def _expect_possible(device: Device, reading: Telemetry) -> None:
    for name, (least, most) in RANGES.items():
        value = getattr(reading, name)
        if value is not None and not least <= value <= most:
            raise Failed(f"{name} is {value:g}; possible are {least:g} to {most:g}")
    memory = device.memory_bytes
    if memory and reading.memory_peak_bytes and reading.memory_peak_bytes > 1.1 * memory:
        raise Failed(f"memory_peak_bytes {reading.memory_peak_bytes}, but the device has {memory}")


def energy(subject: Subject) -> str:
    """Compare the energy counter with power × time."""
    with subject.prepared(subject.resized(256)) as ready:
        run = subject.checked_run(ready)
        loops = enough_loops(run)
        for _ in range(ENERGY_ATTEMPTS):
            reading, elapsed = _read(subject, run, loops, ENERGY_S)
            if reading.energy_j is None or reading.power_w is None:
                raise NotApplicable("no reading of both energy and power")
            product = reading.power_w * elapsed
            text = f"{reading.energy_j:.3g} J, {reading.power_w:.3g} W × {elapsed:.3g} s"
            if product / MOST_ENERGY_RATIO <= reading.energy_j <= product * MOST_ENERGY_RATIO:
                return text
    raise Failed(text)


CHECKS = (
    Check(
        "sensor readings",
        "Telemetry",
        "numbers of the declared types, within what is possible, or None",
        readings,
    ),
    Check(
        "energy",
        "TelemetrySampler.stop",
        f"energy_j is power_w × time, within a factor of {MOST_ENERGY_RATIO:g}",
        energy,
    ),
)
