"""Results of NVIDIA's nvbench: `--json FILE` and `--csv FILE` (nvbench/json_printer.cu, csv_printer.cu).

nvbench measures any kernel over any axes, so a name decides nothing. A state is a matrix product if it has
axes m, n and k, in either case, and a type axis that names the operands' format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.importers.measurement import (
    MEAN,
    Measurement,
    Skipped,
    entries,
    entry,
    positive,
    read_json,
    read_table,
    size,
)
from bench.importers.published_row import product

# nvbench's names of types. F32 is left out: it does not say whether tensor cores round the operands to tf32.
DTYPES = {
    "F64": "float64",
    "F16": "float16",
    "BF16": "bfloat16",
    "I8": "int8",
    "double": "float64",
    "half": "float16",
}

TIMES = ("nv/cold/time/gpu/median", "nv/cold/time/gpu/mean")
SECONDS = "GPU Time (sec)"

# Columns of nvbench's CSV that are no axes, up to its summaries.
FIXED = ("Benchmark", "Device", "Device Name", "Skipped")


def read(path: Path) -> Iterator[Measurement | Skipped]:
    """Read a file of either kind, which its first character tells apart."""
    with path.open("rb") as file:
        is_json = file.read(64).lstrip()[:1] in (b"{", b"[")
    return _read_json(path) if is_json else _read_csv(path)


def _read_json(path: Path) -> Iterator[Measurement | Skipped]:
    document = read_json(path)
    devices = {
        str(entry(path, "devices", device, "id")): str(entry(path, "devices", device, "name"))
        for device in entries(path, "nvbench", document, "devices")
    }
    for benchmark in entries(path, "nvbench", document, "benchmarks"):
        name = str(entry(path, "benchmarks", benchmark, "name"))
        for number, state in enumerate(entries(path, name, benchmark, "states")):
            place = f"{name}, state {number}"
            if entry(path, place, state, "is_skipped"):
                yield Skipped(f"{name}: nvbench skipped it")
                continue
            axes = _values(path, place, entries(path, place, state, "axis_values"))
            summaries = {
                str(entry(path, place, summary, "tag")): summary
                for summary in entries(path, place, state, "summaries")
            }
            tag = next((tag for tag in TIMES if tag in summaries), None)
            if tag is None:
                yield Skipped(f"{name}: no GPU time of single executions")
                continue
            place = f"{place}, {tag}"
            data = _values(path, place, entries(path, place, summaries[tag], "data"))
            device = devices.get(str(entry(path, place, state, "device")), "")
            seconds = entry(path, place, data, "value")
            yield _state(path, place, name, axes, device, seconds, "" if tag == TIMES[0] else MEAN)


def _values(path: Path, place: str, named: list[Any]) -> dict[str, Any]:
    """Return nvbench's named values, a list of name, type and value, by name."""
    return {
        str(entry(path, place, each, "name")): entry(path, place, each, "value") for each in named
    }


def _read_csv(path: Path) -> Iterator[Measurement | Skipped]:
    for line, cells in read_table(path, needed=(*FIXED, SECONDS)):
        name, place = cells["Benchmark"], f"line {line}"
        if cells["Skipped"] == "Yes":
            yield Skipped(f"{name}: nvbench skipped it")
        else:
            yield _state(path, place, name, cells, cells["Device Name"], cells[SECONDS], MEAN)


def _state(
    path: Path,
    place: str,
    name: str,
    axes: Mapping[str, Any],
    device: str,
    seconds: object,
    remark: str,
) -> Measurement | Skipped:
    """Return a measured state as a matrix product, if its axes say that it is one."""
    sizes = {letter: axes.get(letter, axes.get(letter.upper())) for letter in "mnk"}
    if None in sizes.values():
        return Skipped(f"{name}: no axes m, n and k")
    dtypes = {DTYPES[str(value)] for value in axes.values() if str(value) in DTYPES}
    if len(dtypes) != 1:
        return Skipped(f"{name}: no axis names one format of its operands ({', '.join(DTYPES)})")
    params: dict[str, object] = {
        letter: size(path, f"{place}, axis {letter}", value) for letter, value in sizes.items()
    }
    return Measurement(
        row=product(params, dtypes.pop()),
        device=device,
        time_s=positive(path, f"{place}, GPU time", seconds),
        implementation=name,
        remark=remark,
    )
