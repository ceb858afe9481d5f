"""Reads Ascend chips through libdcmi.so, the driver's management library, without starting a process.

Functions, types and units follow the DCMI API reference that Huawei publishes with the driver
(github.com/Ascend/driver, docs/; hiascend.com, "DCMI API Reference"). Only functions that
read are bound. Where a function is missing, fails, or returns nonsense, the value is unknown.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from typing import Any

from backends.ascend.chip import ChipProcess, ChipReading
from backends.sensors import percent, plausible

# By name where the driver's set_env.sh was sourced, else where drivers install it.
LIBRARIES = (
    "libdcmi.so",
    "/usr/local/dcmi/libdcmi.so",
    "/usr/local/Ascend/driver/lib64/driver/libdcmi.so",
)

MIB = 1 << 20
MOST_CARDS = 64
MOST_PROCESSES = 1024
NAME_BYTES = 32
UNKNOWN_RATE = 0xFFFFFFFF

# `input_type` of dcmi_get_device_utilization_rate and of dcmi_get_device_frequency.
AICORE_RATE = 2
CLOCK_NOW, CLOCK_RATED = 7, 9

# dcmi_get_device_health, by the names that npu-smi prints.
HEALTH = {0: "OK", 1: "Warning", 2: "Alarm", 3: "Critical"}

ERRORS = {
    -8001: "invalid parameter",
    -8002: "operation not permitted: run it as root or as a member of the driver's group HwHiAiUser",
    -8003: "memory operation failed",
    -8005: "inner error",
    -8006: "time out",
    -8007: "invalid device",
    -8008: "the device does not exist",
    -8009: "the driver's ioctl failed",
    -8012: "the device is not ready",
    -8013: "not supported in a container",
    -8017: "firmware is being upgraded",
    -8020: "the device is used by another container or virtual machine",
    -8255: "not supported",
}


class ChipInfo(ctypes.Structure):
    """`struct dcmi_chip_info`."""

    _fields_ = (
        ("chip_type", ctypes.c_char * NAME_BYTES),
        ("chip_name", ctypes.c_char * NAME_BYTES),
        ("chip_ver", ctypes.c_char * NAME_BYTES),
        ("aicore_cnt", ctypes.c_uint),
    )


class HbmInfo(ctypes.Structure):
    """`struct dcmi_hbm_info`: sizes in MB, frequency in MHz, temperature in °C, rate in percent."""

    _fields_ = (
        ("memory_size", ctypes.c_ulonglong),
        ("freq", ctypes.c_uint),
        ("memory_usage", ctypes.c_ulonglong),
        ("temp", ctypes.c_int),
        ("bandwith_util_rate", ctypes.c_uint),
    )


class ProcessInfo(ctypes.Structure):
    """`struct dcmi_proc_mem_info`: memory in bytes."""

    _fields_ = (("proc_id", ctypes.c_int), ("proc_mem_usage", ctypes.c_ulong))


@dataclass(frozen=True)
class DcmiError(Exception):
    """A function of the library failed."""

    function: str
    code: int

    def __str__(self) -> str:
        """Name the function, the code, and its meaning."""
        return f"{self.function}: {ERRORS.get(self.code, 'unknown error')} ({self.code})"


class Dcmi:
    """The sensors through libdcmi.so."""

    name = "DCMI"
    interval_s = 0.1

    def __init__(self, library: str | None = None) -> None:
        """Load the library: the one given, or the first found. Raises OSError if there is none."""
        self._library = _load((library,) if library else LIBRARIES)
        self._started = False

    def unavailable(self) -> str | None:
        """Say why the library shows no chip here; None if it does."""
        try:
            self._start()
            return None if self._places() else "libdcmi.so shows no card"
        except (DcmiError, AttributeError) as error:
            return f"libdcmi.so: {error}"

    def driver_version(self) -> str | None:
        """Read the driver's version, None where unknown."""
        version = ctypes.create_string_buffer(256)
        if not self._ask("dcmi_get_driver_version", version, ctypes.c_uint(len(version))):
            return None
        return version.value.decode(errors="replace") or None

    def chips(self) -> list[ChipReading]:
        """List every chip by logic id; none if the library does not start."""
        try:
            self._start()
            places = self._places()
        except (DcmiError, AttributeError):
            return []
        chips = []
        for order, (card, chip) in enumerate(places):
            logic = ctypes.c_int()
            known = self._ask("dcmi_get_device_logic_id", ctypes.byref(logic), card, chip)
            reading = ChipReading(card, chip, logic_id=logic.value if known else order)
            chips.append(self._describe(self.read(reading)))
        return sorted(chips, key=lambda chip: chip.logic_id or 0)

    def read(self, chip: ChipReading) -> ChipReading:
        """Read power, temperature, clocks, utilization and memory of a chip."""
        place = chip.npu, chip.chip
        # Tenths of a watt.
        power = self._number("dcmi_get_device_power_info", *place)
        hbm = HbmInfo()
        if not self._ask("dcmi_get_device_hbm_info", *place, ctypes.byref(hbm)):
            hbm = HbmInfo(bandwith_util_rate=UNKNOWN_RATE)
        total = hbm.memory_size * MIB or None
        return replace(
            chip,
            power_w=plausible("power_w", power / 10 if power is not None else None),
            temperature_c=plausible(
                "temperature_c", self._number("dcmi_get_device_temperature", *place)
            ),
            aicore_percent=percent(
                self._number("dcmi_get_device_utilization_rate", *place, AICORE_RATE)
            ),
            clock_mhz=plausible(
                "clock_mhz", self._number("dcmi_get_device_frequency", *place, CLOCK_NOW)
            ),
            rated_clock_mhz=plausible(
                "clock_mhz", self._number("dcmi_get_device_frequency", *place, CLOCK_RATED)
            ),
            hbm_total_bytes=total,
            hbm_used_bytes=hbm.memory_usage * MIB
            if total and hbm.memory_usage <= hbm.memory_size
            else None,
            hbm_bandwidth_percent=percent(hbm.bandwith_util_rate),
        )

    def _describe(self, chip: ChipReading) -> ChipReading:
        """Add what does not change under load: name, health, processes."""
        place = chip.npu, chip.chip
        info = ChipInfo()
        known = self._ask("dcmi_get_device_chip_info", *place, ctypes.byref(info))
        health = self._number("dcmi_get_device_health", *place)
        return replace(
            chip,
            name=info.chip_name.decode(errors="replace") or None if known else None,
            health=None if health is None else HEALTH.get(health, "UNKNOWN"),
            processes=self._processes(*place),
        )

    def _processes(self, card: int, chip: int) -> tuple[ChipProcess, ...] | None:
        table = (ProcessInfo * MOST_PROCESSES)()
        count = ctypes.c_int(MOST_PROCESSES)
        if not self._ask("dcmi_get_device_resource_info", card, chip, table, ctypes.byref(count)):
            return None
        return tuple(
            ChipProcess(entry.proc_id, memory_bytes=entry.proc_mem_usage)
            for entry in table[: max(0, min(count.value, MOST_PROCESSES))]
        )

    def _start(self) -> None:
        if not self._started:
            self._check("dcmi_init")
            self._started = True

    def _places(self) -> list[tuple[int, int]]:
        """List card and chip of every NPU. Raises DcmiError."""
        count, cards = ctypes.c_int(), (ctypes.c_int * MOST_CARDS)()
        self._check("dcmi_get_card_list", ctypes.byref(count), cards, MOST_CARDS)
        places = []
        for card in cards[: max(0, min(count.value, MOST_CARDS))]:
            most, mcu, cpu = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
            counted = self._ask(
                "dcmi_get_device_id_in_card",
                card,
                ctypes.byref(most),
                ctypes.byref(mcu),
                ctypes.byref(cpu),
            )
            places += [
                (card, chip) for chip in range(min(most.value, MOST_CARDS) if counted else 1)
            ]
        return places

    def _number(self, function: str, card: int, chip: int, *kind: int) -> int | None:
        """Call a function of the form (card, chip[, kind], &value); None if it fails."""
        value = ctypes.c_int()
        return value.value if self._ask(function, card, chip, *kind, ctypes.byref(value)) else None

    def _ask(self, function: str, *arguments: Any) -> bool:
        """Call a function; whether this driver has it and it succeeded."""
        try:
            self._check(function, *arguments)
        except (DcmiError, AttributeError):
            return False
        return True

    def _check(self, function: str, *arguments: Any) -> None:
        """Call a function. Raises DcmiError if it fails, AttributeError if this driver has none."""
        code = getattr(self._library, function)(*arguments)
        if code != 0:
            raise DcmiError(function, code)


def simulated() -> bool:
    """Whether the library is the simulator of this project's tests."""
    try:
        return hasattr(_load(LIBRARIES), "dcmi_simulator")
    except OSError:
        return False


def _load(names: tuple[str, ...]) -> ctypes.CDLL:
    """Load the first library that loads. Raises OSError with the reason of the first that exists."""
    reasons = []
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            reasons.append(str(error))
    missing = "cannot open shared object file: No such file"
    raise OSError(next((reason for reason in reasons if missing not in reason), reasons[0]))
