"""Readings of an Ascend chip's sensors, by whichever source: DCMI or npu-smi."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ChipProcess:
    """A process that holds memory of a chip."""

    pid: int
    name: str | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class ChipReading:
    """One reading of a chip: `chip` of the card `npu`; unknown values are None, never zero.

    On cards with two dies (Ascend 910C), each die is a chip, and the power is that of the card.
    `processes` is None where unknown, and empty where there are none.
    """

    npu: int
    chip: int
    logic_id: int | None = None
    name: str | None = None
    health: str | None = None  # OK, Warning, Alarm, Critical, UNKNOWN, as npu-smi has it
    aicore_percent: float | None = None
    hbm_used_bytes: int | None = None
    hbm_total_bytes: int | None = None
    hbm_bandwidth_percent: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    clock_mhz: float | None = None
    rated_clock_mhz: float | None = None
    processes: tuple[ChipProcess, ...] | None = None


class Sensors(Protocol):
    """A way to read the chips of this machine."""

    name: str
    interval_s: float  # between readings, so that they cost little

    def chips(self) -> list[ChipReading]:
        """List every chip with all that is known about it, by logic id."""

    def read(self, chip: ChipReading) -> ChipReading:
        """Read what changes under load: power, temperature, clock, utilization."""
