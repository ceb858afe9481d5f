"""Reads the output of `npu-smi`, Huawei's program for Ascend NPUs: its overview and its topics.

The format is made for people, and changes between versions: columns come, go and widen, a value may be
`-` or `NA`, and in a container or without permission half of a table is missing. So columns are located
by their titles, and what cannot be read is unknown. No text makes the functions here raise.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace

from backends.ascend.chip import ChipProcess, ChipReading
from backends.sensors import percent, plausible

TIMEOUT_S = 20.0
MIB = 1 << 20

# Longer numbers have no meaning here, and would take long to convert.
WHOLE = re.compile(r"[0-9]{1,9}")
NUMBER = re.compile(r"[-+]?[0-9]{1,9}(\.[0-9]{1,9})?")
USED_AND_TOTAL = re.compile(r"([0-9]{1,9})\s*/\s*([0-9]{1,9})")
NO_PROCESS = re.compile(r"No running processes found in NPU ([0-9]{1,9})\b")

# Titles of the topics `usages`, `common`, `power`, `temp` and `health`, by version and chip.
TOPIC_FIELDS = {
    "aicore_percent": ("Aicore Usage Rate(%)",),
    "hbm_bandwidth_percent": ("HBM Bandwidth Usage Rate(%)",),
    "power_w": ("NPU Real-time Power(W)", "Power Dissipation(W)"),
    "temperature_c": ("Temperature(C)", "NPU Temperature (C)"),
    "clock_mhz": ("Aicore curFreq(MHZ)",),
    "rated_clock_mhz": ("Aicore Freq(MHZ)",),
}
# Whose bounds a field has; the others are percentages.
SENSORS = {
    "power_w": "power_w",
    "temperature_c": "temperature_c",
    "clock_mhz": "clock_mhz",
    "rated_clock_mhz": "clock_mhz",
}


def parse_info(text: str) -> list[ChipReading]:
    """Parse the chips of `npu-smi info`, in its order, with the processes on each.

    A chip takes two lines: card, name, health, power and temperature; then chip, bus, utilization
    and memory. A chip whose second line is missing is left out.
    """
    chips: list[ChipReading] = []
    above: list[str] = []
    below: list[str] = []
    first: list[str] | None = None
    for cells in _table_lines(text):
        if len(cells) != 3:
            continue
        if cells[0].startswith("NPU"):
            above, first = cells, None
        elif cells[0].startswith("Chip"):
            below = cells
        elif first is None:
            first = cells
        else:
            reading = _chip(above, first, below, cells)
            first = None
            if reading is not None:
                chips.append(reading)
    return _with_processes(chips, text)


def _table_lines(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("|") and line.endswith("|") and len(line) > 1:
            yield [cell.strip() for cell in line[1:-1].split("|")]


def _chip(
    above: list[str], first: list[str], below: list[str], second: list[str]
) -> ChipReading | None:
    card = first[0].split(maxsplit=1)
    chip = second[0].split()
    if not card or not chip or not _whole(card[0], chip[0]):
        return None
    upper = dict(_titled(above, first))
    lower = dict(_titled(below, second))
    used, total = _used_and_total(lower.get("HBM-Usage(MB)"))
    return ChipReading(
        npu=int(card[0]),
        chip=int(chip[0]),
        name=card[1] if len(card) > 1 else None,
        health=first[1] or None,
        power_w=_bounded("power_w", upper.get("Power(W)")),
        temperature_c=_bounded("temperature_c", upper.get("Temp(C)")),
        aicore_percent=_bounded("aicore_percent", lower.get("AICore(%)")),
        hbm_used_bytes=used,
        hbm_total_bytes=total,
    )


def _titled(titles: list[str], values: list[str]) -> Iterator[tuple[str, str]]:
    """Yield title and value of the last cell, in which several are separated by spaces.

    `0    / 0` is one value, and so is `26838/ 32768`.
    """
    if not titles:
        return
    cells = re.findall(r"[0-9]+\s*/\s*[0-9]+|\S+", values[-1])
    names = titles[-1].replace("Hugepages-Usage(page)", " Hugepages-Usage(page)").split()
    yield from zip(names, cells, strict=False)


def _used_and_total(text: str | None) -> tuple[int | None, int | None]:
    """Parse `3373 / 65536` (MB) to bytes; None for a chip without such memory, `0 / 0`."""
    match = USED_AND_TOTAL.fullmatch(text or "")
    if match is None or int(match[2]) == 0 or int(match[1]) > int(match[2]):
        return None, None
    return int(match[1]) * MIB, int(match[2]) * MIB


def _with_processes(chips: list[ChipReading], text: str) -> list[ChipReading]:
    """Add the processes of the second table; those of a card that it does not list are unknown."""
    processes: dict[tuple[int, int], list[ChipProcess]] = {}
    idle = {int(card) for card in NO_PROCESS.findall(text)}
    for cells in _table_lines(text):
        place = cells[0].split()
        if len(cells) >= 4 and len(place) == 2 and _whole(*place, cells[1]):
            memory = _number(cells[3])
            process = ChipProcess(
                pid=int(cells[1]),
                name=cells[2] or None,
                memory_bytes=int(memory * MIB) if memory is not None else None,
            )
            processes.setdefault((int(place[0]), int(place[1])), []).append(process)
    listed = idle | {card for card, _ in processes}
    return [
        replace(chip, processes=tuple(processes.get((chip.npu, chip.chip), ())))
        if chip.npu in listed
        else chip
        for chip in chips
    ]


def parse_topic(text: str, chip: ChipReading) -> ChipReading:
    """Add to a chip what `npu-smi info -t usages|common|power|temp|health` says about it.

    Such a text may describe several chips, each under `Chip ID : N` or `Chip Name : mcu`; in
    `usages` the id comes last. Only lines about this chip are taken; the first of a title counts.
    """
    values: dict[str, str] = {}
    for block in _topic_blocks(text):
        if "Chip Name" in block or block.get("Chip ID", str(chip.chip)) != str(chip.chip):
            continue
        for title, value in block.items():
            values.setdefault(title, value)
    numbers: dict[str, float | None] = {}
    for field, titles in TOPIC_FIELDS.items():
        cell = next((values[title] for title in titles if title in values), None)
        number = _bounded(field, cell)
        if number is not None:
            numbers[field] = number
    health = values.get("Health Status", values.get("Health"))
    total = _number(values.get("HBM Capacity(MB)"))
    return replace(
        chip,
        **numbers,  # type: ignore[arg-type]  # TOPIC_FIELDS names fields that are numbers
        health=health if health not in (None, "", "NA") else chip.health,
        hbm_total_bytes=int(total * MIB) if total else chip.hbm_total_bytes,
    )


def _topic_blocks(text: str) -> Iterator[dict[str, str]]:
    """Yield the `Title : value` lines of one chip, up to a blank line or the next chip."""
    block: dict[str, str] = {}
    for line in text.splitlines():
        title, colon, value = (part.strip() for part in line.partition(" : "))
        begins = title == "Chip Name" or (title == "Chip ID" and "Chip ID" in block)
        if (not line.strip() or begins) and block:
            yield block
            block = {}
        if colon:
            block.setdefault(title, value)
    if block:
        yield block


def parse_mapping(text: str) -> dict[tuple[int, int], int]:
    """Parse the logic id of each (card, chip) from `npu-smi info -m`; MCUs have none."""
    mapping: dict[tuple[int, int], int] = {}
    columns: dict[str, int] = {}
    for line in text.splitlines():
        titles = re.findall(r"(?:NPU|Slot|Chip) ID|Chip Logic ID|Chip Phy-ID|Chip Name", line)
        if "NPU ID" in titles:
            columns = {title: place for place, title in enumerate(titles)}
            continue
        cells = line.split()
        places = [columns.get(title) for title in ("NPU ID", "Chip ID", "Chip Logic ID")]
        numbers = [
            int(cells[place])
            for place in places
            if place is not None and place < len(cells) and _whole(cells[place])
        ]
        if len(numbers) == 3:
            mapping[numbers[0], numbers[1]] = numbers[2]
    return mapping


def _whole(*texts: str) -> bool:
    return all(WHOLE.fullmatch(text) for text in texts)


def _number(text: str | None) -> float | None:
    """Parse a number, None for `-`, `NA` and everything else."""
    return float(text) if text is not None and NUMBER.fullmatch(text) else None


def _bounded(field: str, text: str | None) -> float | None:
    number = _number(text)
    return plausible(SENSORS[field], number) if field in SENSORS else percent(number)


class NpuSmi:
    """The sensors through the program `npu-smi`; each reading starts a process, so there are few."""

    name = "npu-smi"
    interval_s = 1.0

    def __init__(self, program: str = "npu-smi") -> None:
        self._program = program

    def unavailable(self) -> str | None:
        """Say why the program shows no chip here; None if it does."""
        if shutil.which(self._program) is None:
            return "npu-smi is not on the PATH"
        output = self._ask()
        if parse_info(output):
            return None
        answer = " ".join(output.split())[:200]
        return f"npu-smi shows no chip{': ' + answer if answer else ''}"

    def chips(self) -> list[ChipReading]:
        """List the chips of the overview; without a mapping, logic ids count them in its order."""
        chips = parse_info(self._ask())
        mapping = parse_mapping(self._ask("-m"))
        placed = [
            replace(chip, logic_id=mapping.get((chip.npu, chip.chip), order))
            for order, chip in enumerate(chips)
        ]
        return sorted(placed, key=lambda chip: chip.logic_id or 0)

    def read(self, chip: ChipReading) -> ChipReading:
        """Read power, temperature, clock and utilization, all in the topic `common`.

        On an Ascend 950 there is no `-c`, and the answer covers all chips of the card.
        """
        place = ("-i", str(chip.npu))
        text = self._ask("-t", "common", *place, "-c", str(chip.chip))
        if " : " not in text:
            text = self._ask("-t", "common", *place)
        return parse_topic(text, ChipReading(chip.npu, chip.chip))

    def _ask(self, *arguments: str) -> str:
        """Run the program; return what it prints whatever its exit code, nothing if it cannot be run."""
        try:
            done = subprocess.run(
                [self._program, "info", *arguments],
                capture_output=True,
                timeout=TIMEOUT_S,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout.decode(errors="replace") or done.stderr.decode(errors="replace")
