"""Peak rates of chips by the name that a driver reports: tables from every package that has one.

A chip that no table knows has no peak. There is no default and no guess: a utilization against the
wrong chip's peak is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from bench import plugins
from bench.backend import Limits
from bench.errors import UsageError, one_of
from bench.validation_text import sentence


class Peak(BaseModel):
    """A dense peak rate in TFLOP/s (TOP/s for integers), and where the number comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tflops: PositiveFloat
    source: str
    confidence: Literal["high", "medium", "low"] = "high"
    note: str | None = None


class Chip(BaseModel):
    """One chip, or one die where the driver shows each die as a device.

    `pattern` is a regular expression for the device's name; None for what is never one device.
    `peaks` are what matrix products are held against; `marketing_tflops`, where a vendor adds other
    units up, never is. `units` times FLOPs a cycle times `clock_mhz` is how a peak comes about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    vendor: str
    status: Literal["sold", "announced"] = "sold"
    pattern: str | None = None
    pattern_evidence: str | None = None
    memory_gb: PositiveFloat | None = None
    bandwidth_gbps: PositiveFloat | None = None
    tdp_w: PositiveFloat | None = None
    clock_mhz: PositiveFloat | None = None
    units: PositiveInt | None = None
    unit_kind: str | None = None
    source: str
    note: str | None = None
    peaks: dict[str, Peak]
    marketing_tflops: Peak | None = None

    def limits(self, dtype: str) -> Limits:
        """Return the peaks for a dtype; the source names chip, number and reference."""
        peak = self.peaks.get(dtype)
        bandwidth = f"{self.bandwidth_gbps:g} GB/s ({self.source})" if self.bandwidth_gbps else ""
        rate = f"{peak.tflops:g} TFLOP/s {dtype} dense ({peak.source})" if peak else ""
        told = ", ".join(part for part in (rate, bandwidth) if part)
        return Limits(
            peak_tflops=peak.tflops if peak else None,
            peak_gbps=self.bandwidth_gbps,
            peak_source=f"{self.title}: {told}" if told else None,
        )


@cache
def load_chips() -> dict[str, Chip]:
    """Return the chips of all tables by id; raises UsageError where a table is wrong."""
    chips: dict[str, Chip] = {}
    for name, table in plugins.load_all(plugins.CHIPS).loaded.items():
        chips.update(parse_table(table.read_text(encoding="utf-8"), f"table of chips {name!r}"))
    return chips


def parse_table(text: str, name: str) -> dict[str, Chip]:
    """Return the chips of one YAML table. Raises UsageError naming table, chip and key."""
    data = yaml.safe_load(text)
    if not isinstance(data, dict) or not isinstance(data.get("chips"), dict):
        raise UsageError(f"{name}: expected a mapping with the key `chips`")
    problems = []
    chips = {}
    for key, fields in data["chips"].items():
        try:
            chips[key] = Chip(id=key, **fields)
        except ValidationError as error:
            for field, said in sentence(error, Chip.model_fields):
                problems.append(f"{name}: {key}.{field}: {said}")
    if problems:
        raise UsageError("\n".join(problems))
    return chips


def find_chip(device_name: str, chips: Iterable[Chip] | None = None) -> Chip | None:
    """Return the chip of a device's name, None where no table knows it.

    Of several that match, the one whose pattern explains most of the name wins.
    """
    best: tuple[int, Chip] | None = None
    for chip in load_chips().values() if chips is None else chips:
        match = re.search(chip.pattern, device_name) if chip.pattern else None
        if match is not None and (best is None or len(match[0]) > best[0]):
            best = len(match[0]), chip
    return best[1] if best else None


def get_chip(name: str) -> Chip:
    """Return a chip by id. Raises UsageError naming the nearest one."""
    chips = load_chips()
    if name not in chips:
        raise UsageError(f"unknown chip {name!r}{one_of(name, chips)}")
    return chips[name]
