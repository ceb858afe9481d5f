"""Sound rows to start from: one that was measured, and one that was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.config.cases import Case, canonical_json
from bench.kernels.base import Kernel
from bench.kernels.matmul import Matmul
from bench.results.columns import BY_NAME, COLUMNS
from bench.results.soundness import RATIOS
from bench.results.writer import ResultFile


def make_row(case: int | Kernel = 64, /, **changes: object) -> dict[str, object]:
    """Return a sound row of a kernel, or of a matmul of a given height; rates follow from `changes`."""
    if isinstance(case, int):
        case = Matmul(m=case, n=32, k=16, dtype="bfloat16")
    kernel = case
    parameters, work = kernel.parameters(), kernel.work(0)
    time_s = changes.get("time_median_s") or 2.5e-5
    factor = time_s / 2.5e-5
    tflops = work.flops / time_s / 1e12
    row: dict[str, object] = {
        "schema_version": 1,
        "run_id": "20260102T030405Z-0123abcd",
        "case_id": Case(kernel).case_id,
        "started_at": "2026-01-02T03:04:05.678Z",
        "host": "node-1",
        "config": "smoke",
        "config_sha256": "c" * 64,
        "git_commit": None,
        "harness_version": "0.1.0",
        "seed": 0,
        "backend": "cpu",
        "chip": "cpu",
        "device_name": 'Example(R) "Fast" CPU, 2.0 GHz',
        "device_index": 0,
        "torch": "2.13.0",
        "python": "3.11.7",
        "threads": 2,
        "simulated": False,
        "kernel": kernel.name,
        "implementation": "torch",
        "params": canonical_json(parameters),
        **{column.name: parameters.get(column.name) for column in COLUMNS if column.parameter},
        "flops": work.flops,
        "bytes": work.bytes,
        "status": "ok",
        "verified": True,
        "rel_error": 0.0017,
        "tolerance": 0.0078,
        "compared": "every element",
        "time_median_s": time_s,
        "time_mean_s": 2.6e-5 * factor,
        "time_stdev_s": 1e-6 * factor,
        "ci_low_s": 2.4e-5 * factor,
        "ci_high_s": 2.7e-5 * factor,
        "rounds": 3,
        "round_medians_s": " ".join(f"{value * factor:.9g}" for value in (2.4e-5, 2.5e-5, 2.7e-5)),
        "samples": 25,
        "loops": 1000,
        "processes": 1,
        "warmups": 3,
        "flush_bytes": 1 << 26,
        "timing": "host",
        "stop_reason": "precision",
        "drift": -0.01,
        "peak_tflops": 1.5,
        "peak_source": "avx512: 2 cores × 64 × 2.0 GHz",
        "roofline_bound": "compute",
        "roofline_fraction": tflops / 1.5,
        **changes,
    }
    for name, (above, below, scale) in RATIOS.items():
        needed = row.get(above) or name == "arithmetic_intensity"
        if BY_NAME[name].late:
            continue  # of other kernels
        if name not in changes and needed and row.get(below):
            row[name] = row[above] / row[below] / scale
    return row


def make_failed_row(status: str, m: int = 64, /, **changes: object) -> dict[str, object]:
    """Return a sound row of a case that was not measured."""
    row = make_row(m, status=status, error="no answer within the case timeout of 2 s")
    for column in COLUMNS:
        if column.measured or column.name in ("verified", "rel_error", "tolerance", "compared"):
            row.pop(column.name, None)
    return {**row, **changes}


@pytest.fixture
def ok():
    return make_row


@pytest.fixture
def failed():
    return make_failed_row


@pytest.fixture
def path(tmp_path):
    return tmp_path / "r.csv"


def write(path: Path, *rows: dict[str, object]) -> Path:
    """Write a new result file."""
    with ResultFile.create(path) as file:
        file.extend(rows)
    return path
