"""Tables of NVIDIA's aiconfigurator: gemm_perf and moe_perf, as parquet or CSV, latencies in milliseconds.

Tokens of a layer are those of all devices that share its experts. Of skewed routings the load on one
of several devices is not published, and experts whose matrices are split have no counterpart here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.importers.measurement import (
    MEAN,
    Measurement,
    Skipped,
    positive,
    read_table,
    size,
)
from bench.importers.published_row import experts, product
from bench.results.columns import Row

# Number formats: dtype, and how operands are scaled where that has to be said.
FORMATS = {
    "bfloat16": ("bfloat16", ""),
    "float16": ("float16", ""),
    "fp8": ("float8_e4m3", ""),
    "fp8_block": ("float8_e4m3", ", block scales"),
    "nvfp4": ("float4_e2m1", ", block scales"),
}

NAMES = ("framework", "version", "device", "op_name", "latency")
SHAPE = {
    "hidden_size": "hidden",
    "inter_size": "intermediate",
    "num_experts": "experts",
    "topk": "top_k",
    "num_tokens": "tokens",
    "moe_ep_size": "expert_parallel",
}


def read(path: Path) -> Iterator[Measurement | Skipped]:
    """Read a table; only products and layers have kernels."""
    for place, line in _lines(path):
        operator = str(line["op_name"])
        if operator == "gemm":
            yield _gemm(path, place, line)
        elif operator == "moe":
            yield _layer(path, place, line)
        else:
            yield Skipped(f"operator {operator}")


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix != ".parquet":
        for number, cells in read_table(path, needed=NAMES):
            yield f"line {number}", cells
        return
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError:
        raise UsageError(f"{path}: reading parquet needs pyarrow: pip install pyarrow") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not parquet, or cut off: {error}") from None
    missing = [name for name in NAMES if name not in frame.columns]
    if missing:
        raise UsageError(f"{path}: no column {missing[0]!r}; is this another format?")
    for number, row in enumerate(frame.to_dict("records")):
        yield f"row {number}", {str(name): value for name, value in row.items()}


def _gemm(path: Path, place: str, line: Mapping[str, Any]) -> Measurement | Skipped:
    name = str(_cell(path, place, line, "gemm_dtype"))
    if name not in FORMATS:
        return Skipped(f"gemm in {name}")
    dtype, scaled = FORMATS[name]
    sizes: Row = {
        letter: size(path, f"{place}, {letter}", _cell(path, place, line, letter))
        for letter in "mnk"
    }
    return _measurement(path, place, line, product(sizes, dtype), scaled)


def _layer(path: Path, place: str, line: Mapping[str, Any]) -> Measurement | Skipped:
    name, routing = (
        str(_cell(path, place, line, column)) for column in ("moe_dtype", "distribution")
    )
    split = size(path, f"{place}, moe_tp_size", _cell(path, place, line, "moe_tp_size"))
    shape = {
        ours: size(path, f"{place}, {theirs}", _cell(path, place, line, theirs))
        for theirs, ours in SHAPE.items()
    }
    if name not in FORMATS:
        return Skipped(f"moe in {name}")
    if split > 1:
        return Skipped("moe with matrices split over devices (moe_tp_size)")
    if routing != "balanced":
        return Skipped("moe with a skewed routing, whose load is not published")
    if shape["tokens"] % shape["expert_parallel"]:
        return Skipped("moe with tokens that the devices cannot share evenly")
    dtype, scaled = FORMATS[name]
    return _measurement(path, place, line, experts(shape, dtype, {"routing": routing}), scaled)


def _measurement(
    path: Path, place: str, line: Mapping[str, Any], row: Row, scaled: str
) -> Measurement:
    framework = f"{str(line['framework']).lower()} {line['version']}"
    return Measurement(
        row=row,
        device=str(line["device"]),
        time_s=positive(path, f"{place}, latency", line["latency"]) / 1e3,
        implementation=framework + scaled,
        remark=MEAN,
    )


def _cell(path: Path, place: str, line: Mapping[str, Any], column: str) -> Any:
    if column not in line:
        raise UsageError(f"{path}: {place}: no column {column!r}")
    return line[column]
