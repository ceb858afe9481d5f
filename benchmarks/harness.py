"""How fast the harness itself is: three ratios, each taken inside one run of this script.

    python benchmarks/harness.py [--stock-cases N]

1. `bench --help` against `python -c "import click"`: at most 6.
2. A config of 30 matrix products against stock pyperf.Runner (20 processes of 3 values) on the same
   products: the time per case, at most a tenth, and the scatter of two whole runs, no larger. Stock takes
   half a minute per case, so by default three of the 30 are timed, spread over the sizes.
3. The share of a run of the smoke config that is neither allocation, verification, warm-up nor
   samples: at most 15 %. Starting the worker and importing torch count as the harness's own.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyperf

SIZES = [96, 128, 192, 256, 320, 384, 448, 512, 640, 768]
DTYPES = ["float32", "float64", "bfloat16"]

CONFIG = f"""
description: 30 matrix products
measurement: {{precision: 0.01, time_budget_s: 3}}
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
    """Return stock pyperf's seconds for one run of a product, and how far two runs are apart."""
    script = folder / f"stock_{n}_{dtype}.py"
    script.write_text(STOCK.format(n=n, dtype=dtype, threads=threads))
    seconds, medians = [], []
    for turn in range(2):
        result = folder / f"{script.stem}-{turn}.json"
        seconds.append(
            timed(
                [
                    sys.executable,
                    str(script),
                    "--processes",
                    "20",
                    "--values",
                    "3",
                    "-o",
                    str(result),
                ]
            )
        )
        (benchmark,) = pyperf.BenchmarkSuite.load(str(result))
        medians.append(benchmark.median())
    return statistics.mean(seconds), abs(math.log(medians[0] / medians[1]))


def harness_cases(folder: Path, count: int) -> tuple[float, list[float]]:
    """Return the harness's seconds per case, and how far each case is apart in two runs."""
    config = folder / "thirty.yaml"
    config.write_text(CONFIG)
    seconds, medians = [], []
    for turn in range(2):
        output = folder / f"ours-{turn}.csv"
        command = [sys.executable, "-m", "bench", "run", str(config), "--backend", "cpu"]
        seconds.append(timed([*command, "-o", str(output)]) / count)
        rows = csv.DictReader(output.open(encoding="utf-8-sig"))
        medians.append({row["case_id"]: float(row["time_median_s"]) for row in rows})
    first, second = medians
    return statistics.mean(seconds), [abs(math.log(first[case] / second[case])) for case in first]


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
        stock_s = statistics.mean(seconds for seconds, _ in stock)
        seconds, apart = harness_cases(folder, len(cases))
        print(
            f"a case, harness / stock pyperf: {seconds:.2f} s / {stock_s:.1f} s = "
            f"{seconds / stock_s:.3f} (at most 0.1); two whole runs are apart by: stock "
            f"{statistics.median(apart for _, apart in stock):.2%} (median of {len(picked)} cases), "
            f"harness {statistics.median(apart):.2%} (median of {len(apart)})"
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
