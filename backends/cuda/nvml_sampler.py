"""Watches an NVIDIA GPU's sensors through NVML while it is measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pynvml

from backends.cuda import nvml
from backends.cuda.nvml import Gpu, ask
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


# An average of the last second holds the load only after a second of it, and the energy counter moves every
# 0.1 s or so, which is 5 % of this.
LEAST_WINDOW_S = 2.0
AVERAGED_S = 1.0


def read(gpu: Gpu) -> Reading:
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


def window_s(readings: Sequence[Reading]) -> float:
    """Compute the time between the first and the last reading."""
    return readings[-1].at_s - readings[0].at_s


def supported(
    counted: Telemetry, readings: Sequence[Reading], *, instant: bool, counter: bool
) -> Telemetry:
    """Keep of power and energy what the time of the readings supports, and say why the rest is missing.

    `counted` has the energy of the counter where there is one (`counter`). A short window has the integral of
    `instant` power instead, and one of averages has neither.
    """
    long_enough = window_s(readings) >= LEAST_WINDOW_S
    integrated = summarize(readings)
    if instant:
        use_counter = counter and long_enough
        return counted if use_counter else replace(counted, energy_j=integrated.energy_j)
    if counted.power_w is None:
        return counted
    if not long_enough:
        remark = (
            f"no power: this driver averages it over a second, and the samples took "
            f"{window_s(readings):.1f} s; {LEAST_WINDOW_S:g} s are needed (--time-budget)"
        )
        return replace(counted, power_w=None, energy_j=None, remark=remark)
    if counter and counted.energy_j is not None:
        return replace(counted, power_w=counted.energy_j / window_s(readings))
    settled = summarize([r for r in readings if r.at_s >= readings[0].at_s + AVERAGED_S])
    assert settled.power_w is not None
    return replace(counted, power_w=settled.power_w, energy_j=settled.power_w * window_s(readings))


class NvmlSampler:
    """Reads the sensors of one GPU or MIG slice in a thread of its own, from `start` to `stop`."""

    def __init__(self, uuid: str) -> None:
        """Watch the device of this UUID, as the runtime reports it."""
        self._uuid = uuid
        self._gpu: Gpu | None = None
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
            gpu = Gpu(self._uuid)
            self._state, self._before = gpu.state(), Counters.of(gpu)
            self._instant = gpu.power_is_instant()
            self._watch = Watch(partial(read, gpu))
        except BaseException as error:
            pynvml.nvmlShutdown()
            if isinstance(error, LookupError):
                return
            raise
        self._gpu = gpu

    def stop(self) -> Telemetry:
        """End sampling; summarize what was read since `start`. Raises DeviceLost if the GPU is gone."""
        if self._gpu is None or self._watch is None:
            return Telemetry(remark=self._missing)
        try:
            readings = self._watch.end()
            counted = with_counters(summarize(readings), self._before, Counters.of(self._gpu))
            counter = self._before.energy_j is not None
            telemetry = supported(counted, readings, instant=self._instant, counter=counter)
            return replace(telemetry, device_state=self._state)
        finally:
            self._gpu = None
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
