"""Results of NVIDIA's nccl-tests as JSON (`-J FILE`, src/util.cu), times in microseconds.

No kernel describes collectives yet: `collective_times` reads what a file says, and `read` counts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.errors import UsageError
from bench.importers.measurement import (
    Measurement,
    Skipped,
    entries,
    entry,
    positive,
    read_json,
    size,
)


@dataclass(frozen=True)
class CollectiveTime:
    """The mean time of one operation on `size_bytes` among `ranks` devices."""

    operation: str
    dtype: str
    size_bytes: int
    ranks: int
    in_place: bool
    device: str
    time_s: float


def read(path: Path) -> Iterator[Measurement | Skipped]:
    """Read a file, whose measurements all lack a kernel."""
    for time in collective_times(path):
        yield Skipped(f"{time.operation}: a collective, which no kernel of bench describes yet")


def collective_times(path: Path) -> Iterator[CollectiveTime]:
    """Yield the out-of-place and in-place times of each size; sizes of no bytes have none.

    Raises UsageError for wrong results, which are no measurement, and where the host's time is reported.
    """
    document = read_json(path)
    program = entries(path, "nccl-tests", document, "args")
    operation = PurePosixPath(str(program[0] if program else "")).name.removesuffix("_perf")
    devices = entries(path, "config", entry(path, "nccl-tests", document, "config"), "devices")
    names = {str(entry(path, "devices", device, "device_info")) for device in devices}
    if not operation or len(names) != 1:
        raise UsageError(f"{path}: expected the name of the test and devices of one kind")
    for number, result in enumerate(entries(path, "nccl-tests", document, "results")):
        place = f"result {number}"
        if entry(path, place, result, "size") == 0:
            continue
        for kind in ("out_of_place", "in_place"):
            measured = entry(path, place, result, kind)
            if measured is None:
                continue
            if entry(path, place, measured, "nwrong"):
                raise UsageError(f"{path}: {place}: {kind} has wrong elements: no measurement")
            time_us = entry(path, f"{place}, {kind}", measured, "time")
            yield CollectiveTime(
                operation=operation,
                dtype=str(entry(path, place, result, "type")),
                size_bytes=size(path, f"{place}, size", result["size"]),
                ranks=len(devices),
                in_place=kind == "in_place",
                device=names.copy().pop(),
                time_s=positive(path, f"{place}, {kind}, time", time_us) / 1e6,
            )
