"""Watches an NVIDIA GPU's sensors through NVML while it is measured."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pynvml

from backends.cuda import nvml
from backends.cuda.nvml import Gpu, ask
from backends.sensors import Reading, Watch, summarize
from bench.backend import Telemetry

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
        throttle=tuple(reasons(bits or 0)),
    )


def reasons(bits: int) -> list[str]:
    """Return the names of the throttle reasons that are set."""
    return [name for bit, name in THROTTLE_REASONS.items() if bits & bit]


class NvmlSampler:
    """Reads the sensors of one GPU or MIG slice in a thread of its own, from `start` to `stop`."""

    def __init__(self, uuid: str) -> None:
        """Watch the device of this UUID, as the runtime reports it."""
        self._uuid = uuid
        self._gpu: Gpu | None = None
        self._watch: Watch | None = None
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
            self._watch = Watch(partial(read, gpu))
        except BaseException as error:
            pynvml.nvmlShutdown()
            if isinstance(error, LookupError):
                return
            raise
        self._gpu = gpu

    def stop(self) -> Telemetry:
        """End sampling; return what was seen since `start`. Raises DeviceLost if the GPU is gone.

        Joules are the difference of the GPU's own counter, where it has one.
        """
        if self._gpu is None or self._watch is None:
            return Telemetry(remark=self._missing)
        try:
            return self._told(self._gpu, summarize(self._watch.end()))
        finally:
            self._gpu = None
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

    def _told(self, gpu: Gpu, seen: Telemetry) -> Telemetry:
        energy_j, errors, others = gpu.energy_j(), gpu.uncorrected_errors(), gpu.other_processes()
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
