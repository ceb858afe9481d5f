"""Watches an NVIDIA GPU's sensors through NVML while it is measured."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pynvml

from backends.cuda import nvml
from backends.cuda.nvml import NvidiaGpu, ask
from backends.sensors import Counters, Reading, Watch, summarize, with_counters
from bench.backend import Telemetry

# Why a GPU runs below the clock that it was asked for (NVML API reference, nvmlClocksEventReasons).
# Idle and application clocks are not throttling, and are left out.
THROTTLE_REASONS = {
    0x0000000000000004: "power cap",
    0x0000000000000008: "hardware slowdown",
    0x0000000000000010: "sync boost",
    0x0000000000000020: "thermal (software)",
    0x0000000000000040: "thermal (hardware)",
    0x0000000000000080: "power brake",
    0x0000000000000100: "display clocks",
}


def read(gpu: NvidiaGpu) -> Reading:
    """Read all sensors once. Raises DeviceLost."""
    board = gpu.board
    # NVML has no utilization of a single slice.
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
    """Name the throttle reasons whose bits are set."""
    return [name for bit, name in THROTTLE_REASONS.items() if bits & bit]


class NvmlSampler:
    """Reads the sensors of one GPU or MIG slice in a thread of its own, from `start` to `stop`."""

    def __init__(self, uuid: str) -> None:
        """Watch the device of this UUID, as the runtime reports it."""
        self._uuid = uuid
        self._gpu: NvidiaGpu | None = None
        self._watch: Watch | None = None
        self._missing = "no telemetry: NVML does not know this device"

    def start(self) -> None:
        """Begin to sample; without NVML, keep the reason as the remark. Raises DeviceLost."""
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            self._missing = f"no telemetry: {nvml.sentence(error)}"
            return
        try:
            gpu = NvidiaGpu(self._uuid)
            self._state, self._before = gpu.state(), Counters.of(gpu)
            self._watch = Watch(partial(read, gpu))
        except BaseException as error:
            pynvml.nvmlShutdown()
            if isinstance(error, LookupError):
                return
            raise
        self._gpu = gpu

    def stop(self) -> Telemetry:
        """End sampling; summarize what was read since `start`. Raises DeviceLost if the GPU is gone.

        Joules are the difference of the GPU's own counter, where it has one.
        """
        if self._gpu is None or self._watch is None:
            return Telemetry(remark=self._missing)
        try:
            telemetry = summarize(self._watch.end())
            telemetry = with_counters(telemetry, self._before, Counters.of(self._gpu))
            return replace(telemetry, device_state=self._state)
        finally:
            self._gpu = None
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
