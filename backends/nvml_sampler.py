"""Watches a GPU's sensors through NVML while it is measured: a reading 20 times a second.

A thread sleeps between readings, and a reading is eight short calls that leave the interpreter's lock,
so that the process that launches kernels is not disturbed (benchmarks/gpu_tables.py measures it).
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise

import pynvml

from backends import nvml
from backends.nvml import Gpu, ask
from bench.backend import Telemetry
from bench.errors import DeviceLost

INTERVAL_S = 0.05

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
    throttle: int = 0


def read(gpu: Gpu) -> Reading:
    """Return one reading. Raises DeviceLost."""
    board = gpu.board
    # A slice's utilization is not told apart from that of its neighbours.
    rates = None if gpu.is_slice else ask("nvmlDeviceGetUtilizationRates", board)
    # Older bindings and drivers know the reasons by their older name only.
    bits = ask("nvmlDeviceGetCurrentClocksEventReasons", board)
    if bits is None:
        bits = ask("nvmlDeviceGetCurrentClocksThrottleReasons", board)
    return Reading(
        at_s=time.monotonic(),
        power_w=gpu.power_w(),
        clock_mhz=ask("nvmlDeviceGetClockInfo", board, pynvml.NVML_CLOCK_SM),
        memory_clock_mhz=ask("nvmlDeviceGetClockInfo", board, pynvml.NVML_CLOCK_MEM),
        temperature_c=ask("nvmlDeviceGetTemperature", board, pynvml.NVML_TEMPERATURE_GPU),
        busy=rates.gpu / 100 if rates else None,
        memory_busy=rates.memory / 100 if rates else None,
        throttle=bits or 0,
    )


def reasons(bits: int) -> list[str]:
    """Return the names of the throttle reasons that are set."""
    return [name for bit, name in THROTTLE_REASONS.items() if bits & bit]


def summarize(readings: Sequence[Reading]) -> Telemetry:
    """Return medians, every throttle reason that was seen, and the energy by integrated power."""
    seen = sorted({name for reading in readings for name in reasons(reading.throttle)})
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


class NvmlSampler:
    """Reads the sensors of one GPU or MIG slice in a thread of its own, from `start` to `stop`."""

    def __init__(self, uuid: str) -> None:
        """Watch the device of this UUID, as the runtime reports it."""
        self._uuid = uuid
        self._gpu: Gpu | None = None
        self._readings: list[Reading] = []
        self._stop = threading.Event()
        self._lost: DeviceLost | None = None
        self._missing = "no telemetry: NVML does not know this device"

    def start(self) -> None:
        """Begin to sample; where NVML is missing, remember why. Raises DeviceLost."""
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            self._missing = f"no telemetry: {nvml.sentence(error)}"
            return
        try:
            gpu = Gpu(self._uuid)
            self._energy_j, self._errors = gpu.energy_j(), gpu.uncorrected_errors()
            self._before = Telemetry(
                device_state=gpu.state(), other_processes=gpu.other_processes()
            )
            self._readings.append(read(gpu))
        except BaseException as error:
            pynvml.nvmlShutdown()
            if isinstance(error, LookupError):
                return
            raise
        self._gpu = gpu
        self._thread = threading.Thread(target=self._watch, name="nvml", daemon=True)
        self._thread.start()

    def stop(self) -> Telemetry:
        """End sampling; return what was seen since `start`. Raises DeviceLost if the GPU is gone.

        Joules are the difference of the GPU's own counter, where it has one.
        """
        if self._gpu is None:
            return Telemetry(remark=self._missing)
        self._stop.set()
        self._thread.join()
        try:
            if self._lost is not None:
                raise self._lost
            self._readings.append(read(self._gpu))
            return self._told(self._gpu)
        finally:
            self._gpu = None
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

    def _told(self, gpu: Gpu) -> Telemetry:
        energy_j, errors, others = gpu.energy_j(), gpu.uncorrected_errors(), gpu.other_processes()
        seen = summarize(self._readings)
        if energy_j is not None and self._energy_j is not None:
            # A counter that did not move in the meantime has told nothing.
            seen = replace(seen, energy_j=energy_j - self._energy_j or None)
        both = [count for count in (self._before.other_processes, others) if count is not None]
        known = errors is not None and self._errors is not None
        return replace(
            seen,
            device_state=self._before.device_state,
            other_processes=max(both, default=None),
            ecc_errors=errors - self._errors if known else None,  # type: ignore[operator]
        )

    def _watch(self) -> None:
        assert self._gpu is not None
        while not self._stop.wait(INTERVAL_S):
            try:
                self._readings.append(read(self._gpu))
            except DeviceLost as lost:
                self._lost = lost
                return
