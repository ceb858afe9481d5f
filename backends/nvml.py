"""NVIDIA's management library through pynvml: what a GPU's sensors say, and who else is using it.

Nothing is ever set: clocks, power limits and modes of the card are read only.
"""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pynvml

from bench.backend import Telemetry

SAMPLE_INTERVAL_S = 0.05

# Why a GPU runs below the clock that it was asked for (NVML API reference, nvmlClocksEventReasons).
# Idle and application clocks are no throttling, and are left out.
THROTTLE_REASONS = {
    0x0000000000000004: "power cap",
    0x0000000000000008: "hardware slowdown",
    0x0000000000000010: "sync boost",
    0x0000000000000020: "thermal (software)",
    0x0000000000000040: "thermal (hardware)",
    0x0000000000000080: "power brake",
    0x0000000000000100: "display clocks",
}


def available() -> str | None:
    """Return why NVML cannot be used, or None."""
    try:
        with session():
            return None
    except pynvml.NVMLError as error:
        return f"NVML: {error}"


@contextmanager
def session() -> Iterator[None]:
    """Keep NVML initialised for the duration of a block; initialisations are counted by NVML."""
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def driver_version() -> str | None:
    """Return the driver's version, None where NVML does not answer."""
    try:
        with session():
            return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None


def reasons(bits: int) -> list[str]:
    """Return the names of the throttle reasons that are set."""
    return [name for bit, name in THROTTLE_REASONS.items() if bits & bit]


def ask(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what NVML answers, None where this card or driver has no such sensor."""
    try:
        return function(*arguments)
    except pynvml.NVMLError:
        return None


@dataclass
class _Readings:
    power_w: list[float] = field(default_factory=list)
    clock_mhz: list[float] = field(default_factory=list)
    temperature_c: list[float] = field(default_factory=list)
    throttle: set[str] = field(default_factory=set)


class NvmlSampler:
    """Reads the sensors of one GPU about 20 times a second in a thread of its own.

    The thread sleeps between readings and a reading is a few system calls, so that the process
    that launches kernels is not disturbed.
    """

    def __init__(self, uuid: str) -> None:
        """Watch the GPU or MIG slice of this UUID, as the runtime reports it."""
        self._uuid = uuid
        self._readings = _Readings()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._energy_j: float | None = None

    def start(self) -> None:
        """Begin to sample; does nothing where NVML is missing."""
        if ask(pynvml.nvmlInit) is None and available() is not None:
            return
        self._handle = ask(pynvml.nvmlDeviceGetHandleByUUID, self._uuid)
        if self._handle is None:
            pynvml.nvmlShutdown()
            return
        self._energy_j = self._total_energy_j()
        self._thread = threading.Thread(target=self._watch, name="nvml", daemon=True)
        self._thread.start()

    def stop(self) -> Telemetry:
        """End sampling; return medians, and the joules since `start`."""
        if self._thread is None:
            return Telemetry()
        energy_j = self._total_energy_j()
        self._stop.set()
        self._thread.join()
        self._read()
        pynvml.nvmlShutdown()
        seen = self._readings
        used = energy_j - self._energy_j if energy_j and self._energy_j is not None else None
        return Telemetry(
            power_w=_median(seen.power_w),
            energy_j=used or None,
            clock_mhz=_median(seen.clock_mhz),
            temperature_c=_median(seen.temperature_c),
            throttle="; ".join(sorted(seen.throttle)) or None,
        )

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_INTERVAL_S):
            self._read()

    def _read(self) -> None:
        power = ask(pynvml.nvmlDeviceGetPowerUsage, self._handle)
        clock = ask(pynvml.nvmlDeviceGetClockInfo, self._handle, pynvml.NVML_CLOCK_SM)
        heat = ask(pynvml.nvmlDeviceGetTemperature, self._handle, pynvml.NVML_TEMPERATURE_GPU)
        bits = ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, self._handle)
        for value, kept, unit in (
            (power, self._readings.power_w, 1e-3),
            (clock, self._readings.clock_mhz, 1.0),
            (heat, self._readings.temperature_c, 1.0),
        ):
            if value is not None:
                kept.append(value * unit)
        self._readings.throttle.update(reasons(bits or 0))

    def _total_energy_j(self) -> float | None:
        millijoules = ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, self._handle)
        return None if millijoules is None else millijoules * 1e-3


def other_processes(uuid: str) -> list[int]:
    """Return the process ids that compute on the GPU besides this one."""
    try:
        with session():
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            running = ask(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
            return [process.pid for process in running if process.pid != os.getpid()]
    except pynvml.NVMLError:
        return []


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
