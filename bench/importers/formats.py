"""The formats by name, and the rows of a file in one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.catalog.chips import find_chip, get_chip
from bench.errors import UsageError
from bench.importers import aiconfigurator, nvbench, xpu_perf
from bench.importers.measurement import Measurement, Reader
from bench.importers.published_row import complete
from bench.results.column_arrays import ColumnArrays
from bench.results.columns import NAMES, Row
from bench.results.soundness import faults

READERS: Mapping[str, Reader] = {
    "aiconfigurator": aiconfigurator.read,
    "nvbench": nvbench.read,
    "xpu-perf": xpu_perf.read,
}

# Formats of measurements that no kernel describes.
COLLECTIVES = ("hccl-test", "nccl-tests", "rccl-tests")
FORMATS = (*READERS, *COLLECTIVES)


@dataclass(frozen=True)
class Imported:
    """The rows of a file, and how many of its measurements have no counterpart, by reason."""

    rows: list[Row]
    skipped: Counter[str]


def import_file(
    path: Path, form: str, *, chip: str | None, source: str, date: str | None
) -> Imported:
    """Return the rows of a file; `chip` is needed where the table of chips lacks the device's name.

    Raises UsageError for a damaged file, another format, or a device that is not known.
    """
    if form in COLLECTIVES:
        raise UsageError(
            f"{path}: {form} measures collectives, and no kernel of bench describes those yet: "
            "nothing is imported"
        )
    rows: list[Row] = []
    skipped: Counter[str] = Counter()
    for measurement in READERS[form](path):
        if isinstance(measurement, Measurement):
            name = _chip(path, measurement.device, chip)
            rows.append(_row(measurement, name, source, date))
        else:
            skipped[measurement.reason] += 1
    for fault in faults(ColumnArrays.of_rows(rows)) if rows else ():
        row = rows[fault.row]
        raise UsageError(f"{path}: {row['params']}: {fault.column}: {fault.message}")
    return Imported(rows, skipped)


def _chip(path: Path, device: str, given: str | None) -> str:
    if given is not None:
        return get_chip(given).id
    chip = find_chip(device)
    if chip is None:
        raise UsageError(
            f"{path}: the device {device!r} is not in the table of chips: name its chip with --chip"
        )
    return chip.id


def _row(measurement: Measurement, chip: str, source: str, date: str | None) -> Row:
    said = {
        "time_median_s": measurement.time_s,
        "implementation": measurement.implementation,
        "evidence": "measured",
        "source": source,
        "source_date": date,
        "warnings": measurement.remark or None,
    }
    return dict.fromkeys(NAMES) | complete(measurement.row | said, measurement.device, chip)
