"""Results of ByteDance's xpu-perf (micro_perf): OP-PROVIDER.jsonl, or the CSV of the same rows.

A line has sku_name, op_name, provider, arguments and targets, among them `latency(us)`. Of its operators
`gemm` is a matrix product of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.importers.measurement import (
    MEAN,
    Measurement,
    Skipped,
    entry,
    positive,
    read_json,
    read_table,
    read_text,
    size,
)
from bench.importers.published_row import product

DTYPES = {
    "float32": "float32",
    "tfloat32": "tf32",
    "float16": "float16",
    "bfloat16": "bfloat16",
}
MICROSECONDS = "latency(us)"
NAMES = ("sku_name", "op_name", "provider")


def read(path: Path) -> Iterator[Measurement | Skipped]:
    """Read JSON lines, or CSV if the name of the file ends so."""
    if path.suffix == ".csv":
        for number, cells in read_table(path, needed=(*NAMES, MICROSECONDS)):
            yield _measurement(path, f"line {number}", cells, cells, cells)
        return
    for number, text in enumerate(read_text(path).splitlines(), start=1):
        line, place = read_json(path, text, number), f"line {number}"
        arguments, targets = (entry(path, place, line, key) for key in ("arguments", "targets"))
        yield _measurement(path, place, line, arguments, targets)


def _measurement(
    path: Path,
    place: str,
    line: Mapping[str, Any],
    arguments: Mapping[str, Any],
    targets: Mapping[str, Any],
) -> Measurement | Skipped:
    device, operator, provider = (str(entry(path, place, line, name)) for name in NAMES)
    if operator != "gemm":
        return Skipped(f"operator {operator}")
    kind = entry(path, place, arguments, "arg_type")
    if kind != "default":
        return Skipped(f"gemm with arg_type {kind}")
    dtype = str(entry(path, place, arguments, "dtype"))
    if dtype not in DTYPES or arguments.get("dst_dtype") not in (None, "", dtype):
        return Skipped(f"gemm in {dtype} with results in {arguments.get('dst_dtype', dtype)}")
    if not targets:
        return Skipped("gemm without a result")
    params: dict[str, object] = {
        letter.lower(): size(path, f"{place}, {letter}", entry(path, place, arguments, letter))
        for letter in "MNK"
    }
    microseconds = entry(path, place, targets, MICROSECONDS)
    return Measurement(
        row=product(params, DTYPES[dtype]),
        device=device,
        time_s=positive(path, f"{place}, {MICROSECONDS}", microseconds) / 1e6,
        implementation=f"xpu-perf {provider}",
        remark=MEAN,
    )
