"""Telemetry of an Ascend chip while it is measured: by DCMI, else by npu-smi, else none and the reason."""

from __future__ import annotations

import os
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from backends.ascend.chip import ChipReading, Sensors
from backends.ascend.dcmi import Dcmi
from backends.ascend.npu_smi import NpuSmi
from backends.sensors import own_pids
from bench.backend import Telemetry

# The clock that a chip keeps up at its thermal design power is the rated one (DCMI API reference,
# dcmi_get_device_frequency); a working chip that is this much below it has been slowed down.
SLOWED = 0.95
WORKING_PERCENT = 50.0


def find_sensors() -> tuple[Sensors | None, str | None]:
    """Return what can read the chips here, or why nothing can."""
    try:
        dcmi = Dcmi()
        reason = dcmi.unavailable()
    except OSError as error:
        reason = str(error)
    else:
        if reason is None:
            return dcmi, None
    program = NpuSmi()
    other = program.unavailable()
    if other is None:
        return program, None
    return None, f"no telemetry: {reason}; {other}"


def logic_id(index: int, environment: Mapping[str, str]) -> int:
    """Return which chip torch's `npu:index` is: ASCEND_RT_VISIBLE_DEVICES counts the visible anew."""
    visible = environment.get("ASCEND_RT_VISIBLE_DEVICES", "")
    listed = re.findall(r"\d{1,4}", visible)
    return int(listed[index]) if 0 <= index < len(listed) else index


def others(chip: ChipReading, own: Iterable[int]) -> int | None:
    """Return how many processes of others are on the chip; None if nobody tells."""
    if chip.processes is None:
        return None
    return len({process.pid for process in chip.processes} - set(own))


class NpuSampler:
    """Reads the sensors of one chip in a thread of its own, as often as they bear it."""

    def __init__(
        self,
        index: int,
        environment: Mapping[str, str] | None = None,
        find: Callable[[], tuple[Sensors | None, str | None]] = find_sensors,
    ) -> None:
        """Watch torch's `npu:index`."""
        self._logic_id = logic_id(index, os.environ if environment is None else environment)
        self._find = find
        self._sensors: Sensors | None = None
        self._chip: ChipReading | None = None
        self._readings: list[tuple[float, ChipReading]] = []
        self._missing = "no telemetry: nothing was sampled"

    def start(self) -> None:
        """Begin to watch; where nothing can, remember why."""
        self._sensors, reason = self._find()
        if self._sensors is None:
            self._missing = reason or self._missing
            return
        chips = self._sensors.chips()
        self._chip = next((chip for chip in chips if chip.logic_id == self._logic_id), None)
        if self._chip is None:
            shown = ", ".join(str(chip.logic_id) for chip in chips) or "none"
            self._missing = (
                f"no telemetry: {self._sensors.name} knows no chip {self._logic_id}; it has {shown}"
            )
            return
        # Two dies share the power supply of a card, and its figure is that of both.
        self._shared = sum(chip.npu == self._chip.npu for chip in chips) > 1
        self._readings = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="npu", daemon=True)
        self._thread.start()

    def stop(self) -> Telemetry:
        """End watching; return medians since `start`, and joules by integrated power."""
        if self._sensors is None or self._chip is None:
            return Telemetry(remark=self._missing)
        self._stop.set()
        self._thread.join()
        self._read()
        seen = summarize(self._readings, shared_power=self._shared)
        counted = others(self._chip, own_pids())
        self._chip = None
        return Telemetry(**{**vars(seen), "other_processes": counted})

    def _watch(self) -> None:
        assert self._sensors is not None
        self._read()
        while not self._stop.wait(self._sensors.interval_s):
            self._read()

    def _read(self) -> None:
        assert self._sensors is not None and self._chip is not None
        self._readings.append((time.monotonic(), self._sensors.read(self._chip)))


def summarize(
    readings: Sequence[tuple[float, ChipReading]], *, shared_power: bool = False
) -> Telemetry:
    """Return medians of readings with their times in seconds, and what slowed the chip down.

    With `shared_power`, the power is a whole card's, and says nothing about one of its dies.
    """
    power = [] if shared_power else [(at, r.power_w) for at, r in readings if r.power_w is not None]
    busy = _median([reading.aicore_percent for _, reading in readings])
    clock = _median([reading.clock_mhz for _, reading in readings])
    rated = _median([reading.rated_clock_mhz for _, reading in readings])
    bandwidth = _median([reading.hbm_bandwidth_percent for _, reading in readings])
    working = busy is not None and busy >= WORKING_PERCENT
    slowed = working and clock is not None and rated is not None and clock < SLOWED * rated
    joules = sum((t1 - t0) * (p0 + p1) / 2 for (t0, p0), (t1, p1) in pairwise(power))
    return Telemetry(
        power_w=_median([watts for _, watts in power]),
        energy_j=joules if len(power) >= 2 else None,
        clock_mhz=clock,
        temperature_c=_median([reading.temperature_c for _, reading in readings]),
        throttle=f"clock below the rated {rated:g} MHz" if slowed else None,
        busy=busy / 100 if busy is not None else None,
        memory_busy=bandwidth / 100 if bandwidth is not None else None,
        remark="power is known of the card only, which has several dies" if shared_power else None,
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(statistics.median(known)) if known else None
