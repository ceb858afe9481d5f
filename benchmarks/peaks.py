"""What this processor can compute at most, loop by loop, and how near torch's products come to it.

    python benchmarks/peaks.py [--threads 2] [--sizes 512,1024,2048] [--seconds 1]

Prints the rate of each loop of multiply-adds with its operations per cycle and the clock beside it,
how long all of them took, and torch's fastest product of each dtype and size as a share of the peak.
The loops run before and after the products, and the larger peak counts. Targets: no product above
1.02 of the peak, all loops in 0.3 s, and a kept reading in 5 ms. Ends with status 1 if one is missed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from backends.cpu.peak import CpuPeak, cpu_peak, operations
from backends.cpu.rates import measure_rates
from backends.cpu.topology import cpu_topology

DTYPES = ("float64", "float32", "bfloat16", "int8")
LARGEST_SHARE, LONGEST_S, LONGEST_KEPT_S = 1.02, 0.3, 0.005


def measured_now(threads: int) -> tuple[CpuPeak, float]:
    """Return the peak, measured whatever is kept, and how many seconds that took."""
    topology = cpu_topology()
    start = time.perf_counter()
    peak = cpu_peak(
        threads, topology, lambda cpu, loops, cores, cpus: measure_rates(loops, cores, cpus)
    )
    return peak, time.perf_counter() - start


def kept_s(threads: int) -> float:
    """Return how many seconds a peak takes that is kept."""
    topology = cpu_topology()
    cpu_peak(threads, topology)
    start = time.perf_counter()
    cpu_peak(threads, topology)
    return time.perf_counter() - start


def product(dtype: str, size: int) -> Callable[[], object]:
    """Return a product of two square matrices."""
    if dtype == "int8":
        left, right = torch.randint(-127, 128, (2, size, size), dtype=torch.int8)
        return lambda: torch._int_mm(left, right)
    left, right = torch.randn(2, size, size).to(getattr(torch, dtype))
    return lambda: torch.mm(left, right)


def fastest_tflops(dtype: str, size: int, seconds: float) -> float:
    """Return the rate of the fastest product within some time."""
    multiply = product(dtype, size)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        multiply()
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times) / 1e12


def print_loops(peak: CpuPeak) -> None:
    """Print the loops, one line each."""
    print(f"{'loop':45} {'TFLOP/s or TOP/s':>17} {'per cycle and core':>19} {'GHz':>6}")
    for loop in peak.loops:
        rate = peak.measured.rates.get(loop.name)
        if rate is None:
            print(f"{loop.name:45} {peak.measured.refused[loop.name]}")
        else:
            total = rate.per_second * peak.cores_in_use / 1e12
            print(f"{loop.name:45} {total:17.4f} {rate.per_cycle:19.2f} {rate.clock_hz / 1e9:6.3f}")


def print_products(before: CpuPeak, sizes: list[int], seconds: float) -> float:
    """Print torch's products, one line per dtype; return the largest share of a peak."""
    reached = {
        (dtype, size): fastest_tflops(dtype, size, seconds) for dtype in DTYPES for size in sizes
    }
    after, _ = measured_now(before.cores_in_use)
    largest = 0.0
    for dtype in DTYPES:
        peak = max(before.tflops(dtype) or 0.0, after.tflops(dtype) or 0.0)
        if peak:
            shares = {size: reached[dtype, size] / peak for size in sizes}
            largest = max(largest, *shares.values())
            told = ", ".join(f"{size}² {share:.1%}" for size, share in shares.items())
            print(f"torch {dtype:9} of {peak:.4g} T{operations(dtype)}/s: {told}")
        else:
            print(f"torch {dtype:9} {after.source(dtype)}")
    return largest


def main() -> None:
    """Measure the loops, torch's products, and the loops again, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=cpu_topology().usable_cores)
    parser.add_argument("--sizes", default="512,768,1024,2048,3072", help="of square matrices")
    parser.add_argument("--seconds", type=float, default=1.0, help="per product (default: 1)")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    torch.set_num_threads(options.threads)
    peak, took_s = measured_now(options.threads)
    print_loops(peak)
    warm_s = kept_s(options.threads)
    print(f"all loops in {took_s:.3f} s; kept, {warm_s * 1e3:.2f} ms")
    share = print_products(peak, sizes, options.seconds)
    if share > LARGEST_SHARE or took_s > LONGEST_S or warm_s > LONGEST_KEPT_S:
        raise SystemExit(
            f"expected at most {LARGEST_SHARE} of the peak, {LONGEST_S} s and {LONGEST_KEPT_S} s"
        )


if __name__ == "__main__":
    main()
