"""Makes a million rows in two result files, compares them, and says what it took.

    python benchmarks/compare.py [--rows 1000000] [--keep FOLDER]

Rows repeat 5,000 cases with their own times, intervals, dates and energies.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.config.cases import Case, canonical_json
from bench.kernels.matmul import Matmul
from bench.results.columns import NAMES

CASES = 5_000

DISTINCT = ("started_at", "time_median_s", "ci_low_s", "ci_high_s", "energy_j")
MARK = "<{}>"


def template(number: int, chip: str) -> str:
    """Return a row's line with places for what differs between repeats."""
    kernel = Matmul(m=64 + number % 100, n=64 + number // 100, k=128, dtype="bfloat16")
    work = kernel.work(0)
    row: dict[str, object] = {
        "schema_version": 1, "run_id": "20260102T030405Z-0123abcd", "case_id": Case(kernel).case_id,
        "host": "node", "config": "c", "config_sha256": "c" * 64, "harness_version": "0", "seed": 0,
        "backend": "cuda", "chip": chip, "device_name": chip, "device_index": 0, "python": "3.11",
        "simulated": "false", "kernel": "matmul", "implementation": "torch", "dtype": "bfloat16",
        "params": canonical_json(kernel.parameters()), "m": kernel.m, "n": kernel.n, "k": kernel.k,
        "batch": 1, "layout": "nn", "flops": work.flops, "bytes": work.bytes,
        "arithmetic_intensity": work.flops / work.bytes, "inputs": "normal", "status": "ok",
        "verified": "true", "rel_error": 1e-3, "tolerance": 1e-2, "compared": "every element",
        "time_mean_s": 1e-5, "samples": 25, "loops": 9, "processes": 1, "warmups": 3,
        "cache": "cold", "flush_bytes": 1 << 26, "timing": "events", "stop_reason": "precision",
        "achieved_tflops": 1.25, "achieved_gbps": 100.5, "peak_tflops": 10.0, "peak_gbps": 400.0,
        "peak_source": "made up", "utilization": 0.125, "roofline_bound": "compute",
        "roofline_fraction": 0.125,
    }  # fmt: skip
    row.update({name: MARK.format(name) for name in DISTINCT})
    text = io.StringIO()
    csv.writer(text).writerow([row.get(name) for name in NAMES])
    line = text.getvalue().replace("{", "{{").replace("}", "}}")
    for name in DISTINCT:
        line = line.replace(MARK.format(name), f"{{{name}}}")
    return line


def write(path: Path, rows: int, chip: str) -> None:
    """Write a file of so many rows."""
    lines = [template(number, chip) for number in range(min(CASES, rows))]
    random.seed(chip)
    with path.open("w", newline="") as file:
        csv.writer(file).writerow(NAMES)
        for number in range(rows):
            median = 1e-5 * random.lognormvariate(0, 0.02)
            file.write(
                lines[number % len(lines)].format(
                    started_at=f"2026-01-02T03:{number // 60000 % 60:02d}:{number // 1000 % 60:02d}"
                    f".{number % 1000:03d}Z",
                    time_median_s=median,
                    ci_low_s=median * 0.99,
                    ci_high_s=median * 1.01,
                    energy_j=median * 300,
                )
            )


def main() -> None:
    """Make the files, compare them in a process of its own, print time and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows, in both files together")
    parser.add_argument("--keep", type=Path, help="folder in which the files stay")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        files = [folder / "base.csv", folder / "other.csv"]
        for file, chip in zip(files, ("chip-a", "chip-b"), strict=True):
            if not file.exists():
                write(file, options.rows // 2, chip)
        command = [sys.executable, "-m", "bench", "compare", *map(str, files), "--format", "json"]
        begun = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        wall_s = time.perf_counter() - begun
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        pairs = json.loads(done.stdout)["pairs"]
        print(
            f"{options.rows} rows compared in {wall_s:.1f} s, {used.ru_maxrss * 1024 / 1e9:.2f} GB"
        )
        print(f"pairs: {len(pairs)}, each of {pairs[0]['repeats_base']} repeats a side")
        print(f"files: {sum(file.stat().st_size for file in files) / 1e6:.0f} MB")
        print(f"load:  {os.getloadavg()[0]:.1f}, of what else ran here")


if __name__ == "__main__":
    main()
