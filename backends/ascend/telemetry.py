"""Telemetry of an Ascend chip while it is measured: by DCMI, else by npu-smi, else none and the reason."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from backends import sensors
from backends.ascend.chip import ChipReading, Sensors
from backends.ascend.dcmi import Dcmi
from backends.ascend.npu_smi import NpuSmi
from bench.backend import Telemetry

# The clock that a chip keeps up at its thermal design power is the rated one (DCMI API reference,
# dcmi_get_device_frequency); a busy chip whose clock is this much below it has been slowed down.
SLOWED = 0.95
WORKING = 0.5

SHARED_POWER = "power is known for the whole card only, whose other die was not measured meanwhile"
SHARES_OF_POWER = "power and energy are the card's, divided by its {} dies, which were all busy"


def find_sensors() -> tuple[Sensors | None, str | None]:
    """Look for a way to read the chips: DCMI, then npu-smi; else the reason why there is none."""
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
    """Map torch's `npu:index` to a chip: ASCEND_RT_VISIBLE_DEVICES renumbers the visible ones."""
    visible = environment.get("ASCEND_RT_VISIBLE_DEVICES", "")
    chips = re.findall(r"\d{1,4}", visible)
    return int(chips[index]) if 0 <= index < len(chips) else index


def others(chip: ChipReading, own: set[int]) -> int | None:
    """Count the processes of others on the chip; None where unknown.

    This process has a context on the chip. In a container, where the driver reports the ids of the host, it
    is the one that is subtracted; workers of the same run have contexts on chips of their own only.
    """
    pids = {process.pid for process in chip.processes or ()}
    return sensors.count_others(sorted(pids), own, on_device=1)


class NpuSampler:
    """Reads the sensors of one chip in a thread, at a rate that they tolerate."""

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
        """Begin to watch; without sensors, keep the reason as the remark."""
        self._sensors, reason = self._find()
        if self._sensors is None:
            self._missing = reason or self._missing
            return
        chips = self._sensors.chips()
        self._chip = next((chip for chip in chips if chip.logic_id == self._logic_id), None)
        if self._chip is None:
            known = ", ".join(str(chip.logic_id) for chip in chips) or "none"
            self._missing = (
                f"no telemetry: {self._sensors.name} knows no chip {self._logic_id}; it has {known}"
            )
            return
        # Two dies share the power supply of a card, and its figure, at one of them, is that of both.
        self._dies = [chip for chip in chips if chip.npu == self._chip.npu and chip != self._chip]
        self._readings = []
        self._dies_readings: list[list[ChipReading]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="npu", daemon=True)
        self._thread.start()

    def stop(self) -> Telemetry:
        """End watching; summarize the readings since `start`."""
        if self._sensors is None or self._chip is None:
            return Telemetry(remark=self._missing)
        self._stop.set()
        self._thread.join()
        self._read()
        telemetry = summarize(self._readings, self._dies_readings if self._dies else None)
        count = others(self._chip, sensors.own_pids())
        self._chip = None
        return replace(telemetry, other_processes=count)

    def _watch(self) -> None:
        assert self._sensors is not None
        self._read()
        while not self._stop.wait(self._sensors.interval_s):
            self._read()

    def _read(self) -> None:
        assert self._sensors is not None and self._chip is not None
        self._readings.append((time.monotonic(), self._sensors.read(self._chip)))
        if self._dies:
            self._dies_readings.append([self._sensors.read(die) for die in self._dies])


def summarize(
    readings: Sequence[tuple[float, ChipReading]],
    dies: Sequence[Sequence[ChipReading]] | None = None,
) -> Telemetry:
    """Summarize readings with their times in seconds, and say whether the chip was slowed down.

    `dies` are the readings of the card's other dies at the same times. The power is that of the whole card,
    and shared equally where all of its dies were busy; otherwise a die's power is unknown.
    """
    shared = dies is not None and all_busy(dies)
    telemetry = sensors.summarize(
        [
            sensors.Reading(
                at_s=at_s,
                power_w=chip.power_w if dies is None else _share_of_power(chip, dies[i], shared),
                clock_mhz=chip.clock_mhz,
                temperature_c=chip.temperature_c,
                busy=_share(chip.aicore_percent),
                memory_busy=_share(chip.hbm_bandwidth_percent),
            )
            for i, (at_s, chip) in enumerate(readings)
        ]
    )
    rated = sensors.median([chip.rated_clock_mhz for _, chip in readings])
    clock, busy = telemetry.clock_mhz, telemetry.busy
    slowed = (
        (busy is not None and busy >= WORKING)
        and (clock is not None and rated is not None)
        and clock < SLOWED * rated
    )
    return replace(
        telemetry,
        throttle=f"clock below the rated {rated:g} MHz" if slowed else None,
        remark=None
        if dies is None
        else SHARES_OF_POWER.format(1 + len(dies[0]))
        if shared
        else SHARED_POWER,
    )


def all_busy(dies: Sequence[Sequence[ChipReading]]) -> bool:
    """Whether each other die of the card computed most of the time."""
    if not dies:
        return False
    busy = [
        _share(sensors.median([reading.aicore_percent for reading in die]))
        for die in zip(*dies, strict=True)
    ]
    return all(share is not None and share >= WORKING for share in busy)


def _share_of_power(chip: ChipReading, dies: Sequence[ChipReading], shared: bool) -> float | None:
    """Divide the card's power, which one of its dies reports, by their number."""
    known = [die.power_w for die in (chip, *dies) if die.power_w is not None]
    return known[0] / (1 + len(dies)) if shared and known else None


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
