"""What a device was measured to reach at most, kept so that later runs on it can refer to it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.backend import Device, Limits
from bench.errors import UsageError
from bench.results.columns import Row
from bench.results.reader import read_rows

CONFIG = "ceiling"  # what the rows of such a file have as their config

# What has to be equal for a ceiling to be that of the same device under the same software.
SAME_DEVICE = ("backend", "chip", "device_name", "threads", "simulated")
SAME_PLACE = (*SAME_DEVICE, "host", "device_index", "torch", "driver")


@dataclass(frozen=True)
class Ceilings:
    """The highest rates of a device: TFLOP/s by dtype, and GB/s."""

    tflops: Mapping[str, float]
    gbps: float | None
    source: str
    place: Row

    def applied(self, limits: Limits, dtype: str) -> Limits:
        """Return the limits of a dtype with these ceilings in place of what the backend knew."""
        if dtype not in self.tflops and self.gbps is None:
            return limits
        return replace(
            limits,
            ceiling_tflops=self.tflops.get(dtype, limits.ceiling_tflops),
            ceiling_gbps=limits.ceiling_gbps if self.gbps is None else self.gbps,
            ceiling_source=self.source,
        )

    def differences(self, place: Row, columns: tuple[str, ...]) -> list[str]:
        """Return what is not as it was when these were measured, in words."""
        return [
            f"{name} is {_said(place.get(name))}, there {_said(self.place.get(name))}"
            for name in columns
            if place.get(name) != self.place.get(name)
        ]


def source_text(started_at: str, run_id: str) -> str:
    """Return what a row says of its ceilings."""
    return f"bench ceiling {started_at[:10]}, run {run_id}"


def read_ceilings(path: Path) -> Ceilings:
    """Return the ceilings of a file. Raises UsageError where it has none, or of several devices."""
    rows = [row for row in read_rows(path) if row["config"] == CONFIG and row["status"] == "ok"]
    if not rows:
        raise UsageError(f"{path}: has no ceilings; `bench ceiling -o FILE` writes such a file")
    first = rows[0]
    for row in rows:
        if any(row[name] != first[name] for name in SAME_PLACE):
            raise UsageError(f"{path}: has the ceilings of several devices; give the file of one")
    bandwidths = [float(str(row["achieved_gbps"])) for row in rows if row["kernel"] == "memory"]
    return Ceilings(
        tflops={
            str(row["dtype"]): float(str(row["achieved_tflops"]))
            for row in rows
            if row["kernel"] == "matmul"
        },
        gbps=max(bandwidths, default=None),
        source=source_text(str(first["started_at"]), str(first["run_id"])),
        place={name: first[name] for name in SAME_PLACE},
    )


def kept_path(place: Row) -> Path:
    """Return where the ceilings of a device are kept in the user's data folder."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    parts = [place["host"], place["backend"], place["device_index"]]
    if place["threads"] is not None:
        parts.append(f"{place['threads']}t")
    return Path(home, "accelerator-bench", "ceilings", "-".join(map(str, parts)) + ".csv")


def keep(path: Path, place: Row) -> Path:
    """Keep a copy of a file of ceilings for later runs; return where. Raises OSError."""
    kept = kept_path(place)
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    shutil.copyfile(path, part)
    part.replace(kept)
    return kept


def place_of(device: Device, backend: str, versions: Mapping[str, str]) -> Row:
    """Identify a device and its software by columns of a row; `versions` are the backend's."""
    return {
        "backend": backend,
        "chip": device.chip,
        "device_name": device.name,
        "threads": device.threads,
        "simulated": device.simulated,
        "host": socket.gethostname(),
        "device_index": device.index,
        "torch": versions.get("torch"),
        "driver": device.driver,
    }


def choose_ceilings(
    named: str | None, places: Mapping[int, Row]
) -> tuple[dict[int, Ceilings], list[str]]:
    """Return the ceilings of devices by index, and what the user should know about them.

    `named` is a file for all of them, `none`, or None for those that are kept. Raises UsageError where
    a file has those of another device.
    """
    if named == "none":
        return {}, []
    by_device: dict[int, Ceilings] = {}
    notes: list[str] = []
    for index, place in places.items():
        ceilings, note = given_ceilings(Path(named), place) if named else find_kept(place)
        if ceilings is not None:
            by_device[index] = ceilings
        if note is not None:
            notes.append(note)
    return by_device, list(dict.fromkeys(notes))


def find_kept(place: Row) -> tuple[Ceilings | None, str | None]:
    """Return the ceilings that are kept of a device, and what the user should know about them."""
    path = kept_path(place)
    if not path.is_file():
        return None, None
    try:
        ceilings = read_ceilings(path)
    except UsageError as error:
        return None, f"ceilings not used: {error}"
    differences = ceilings.differences(place, SAME_PLACE)
    if differences:
        return None, f"ceilings of {ceilings.source} not used: {'; '.join(differences)}"
    return ceilings, f"ceilings: {ceilings.source} ({path})"


def given_ceilings(path: Path, place: Row) -> tuple[Ceilings, str]:
    """Return the ceilings of a file that the user names, and what is to be known about them.

    Raises UsageError where they are of another device.
    """
    ceilings = read_ceilings(path)
    wrong = ceilings.differences(place, SAME_DEVICE)
    if wrong:
        raise UsageError(
            f"--ceiling: {path} is of another device: {'; '.join(wrong)}; measure this one with "
            "bench ceiling, or leave them out with --ceiling none"
        )
    other = ceilings.differences(place, SAME_PLACE)
    note = f" (but {'; '.join(other)})" if other else ""
    return ceilings, f"ceilings: {ceilings.source}{note}"


def _said(value: object) -> str:
    return "unknown" if value is None else str(value)
