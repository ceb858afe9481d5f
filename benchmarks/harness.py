"""How fast the harness itself is: three ratios, each taken inside one run of this script.

    python benchmarks/harness.py [--stock-cases N]

1. `bench --help` against `python -c "import click"`: at most 6.
2. A config of 30 matrix products against stock pyperf.Runner (20 processes of 3 values) on the same
   products, at equal precision: at most a tenth. Stock takes half a minute a case, so by default
   three of the 30 are timed, spread over the sizes, and the harness is timed on all 30: the ratio is
   of the time a case.
3. The share of a run of the smoke config that is neither allocation, verification, warm-up nor
   samples: at most 15 %. Starting the worker and importing torch count as the harness's own.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyperf

from bench.analysis.statistics import median_interval

SIZES = [96, 128, 192, 256, 320, 384, 448, 512, 640, 768]
DTYPES = ["float32", "float64", "bfloat16"]

CONFIG = f"""
description: 30 matrix products
measurement: {{time_budget_s: 10}}
kernels:
  - kernel: matmul
    cache: hot
    dtype: [{", ".join(DTYPES)}]
    zip: {{m: {SIZES}, n: {SIZES}, k: {SIZES}}}
"""

STOCK = """
import pyperf, sys, time
import torch

torch.set_num_threads({threads})
a = torch.randn({n}, {n}).to(torch.{dtype})
b = torch.randn({n}, {n}).to(torch.{dtype})
c = torch.empty_like(a)


def run(loops):
    start = time.perf_counter()
    for _ in range(loops):
        torch.mm(a, b, out=c)
    return time.perf_counter() - start


pyperf.Runner().bench_time_func("matmul", run)
"""


def timed(command: list[str], **more: object) -> float:
    """Return the wall seconds of a command that has to succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, **more)  # type: ignore[call-overload]
    return time.perf_counter() - start


def help_ratio() -> float:
    """Return the median over pairs of runs, one of each in turn."""
    ratios = []
    for _ in range(15):
        base = timed([sys.executable, "-c", "import click"])
        ratios.append(timed([sys.executable, "-m", "bench", "--help"]) / base)
    return statistics.median(ratios)


def stock_case(folder: Path, n: int, dtype: str, threads: str) -> tuple[float, float]:
    """Return stock pyperf's seconds for one product, and the half width of its interval."""
    script = folder / f"stock_{n}_{dtype}.py"
    script.write_text(STOCK.format(n=n, dtype=dtype, threads=threads))
    result = folder / f"{script.stem}.json"
    seconds = timed(
        [sys.executable, str(script), "--processes", "20", "--values", "3", "-o", str(result)]
    )
    (benchmark,) = pyperf.BenchmarkSuite.load(str(result))
    values = benchmark.get_values()
    low, high = median_interval(values) or (0.0, 0.0)
    return seconds, (high - low) / 2 / statistics.median(values)


def main() -> None:
    """Measure and print the three ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stock-cases", type=int, default=3, choices=range(1, 31))
    chosen = parser.parse_args().stock_cases
    print(f"bench --help / import click: {help_ratio():.2f} (at most 6)")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = [(n, dtype) for dtype in DTYPES for n in SIZES]
        picked = [cases[(2 * i + 1) * len(cases) // (2 * chosen)] for i in range(chosen)]
        probe = folder / "probe.csv"
        smoke = [sys.executable, "-m", "bench", "run", "smoke", "--backend", "cpu", "-v"]
        done = subprocess.run(
            [*smoke, "-o", str(probe)], check=True, capture_output=True, text=True
        )
        threads = next(csv.DictReader(probe.open()))["threads"]

        stock = [stock_case(folder, n, dtype, threads) for n, dtype in picked]
        precision = statistics.median(width for _, width in stock)
        config = folder / "thirty.yaml"
        config.write_text(CONFIG)
        ours = folder / "ours.csv"
        run = [
            sys.executable,
            "-m",
            "bench",
            "run",
            str(config),
            "--backend",
            "cpu",
            "-o",
            str(ours),
        ]
        seconds = timed([*run, "--precision", f"{precision:.6f}"]) / len(cases)
        rows = list(csv.DictReader(ours.open()))
        widths = [
            (float(row["ci_high_s"]) - float(row["ci_low_s"])) / 2 / float(row["time_median_s"])
            for row in rows
        ]
        stock_seconds = statistics.mean(seconds for seconds, _ in stock)
        print(
            f"a case, harness / stock pyperf: {seconds:.2f} s / {stock_seconds:.1f} s = "
            f"{seconds / stock_seconds:.3f} (at most 0.1); half widths: stock {precision:.2%}, "
            f"harness {statistics.median(widths):.2%} (median), {len(picked)} stock cases timed"
        )

        spent = {
            line.split()[0]: float(line.split()[-2])
            for line in done.stderr.splitlines()
            if line.startswith("  ") and line.endswith(" s")
        }
        print(
            f"smoke: {spent['harness']:.1f} s of {spent['in']:.1f} s are the harness's own = "
            f"{spent['harness'] / spent['in']:.3f} (at most 0.15)"
        )


if __name__ == "__main__":
    main()
