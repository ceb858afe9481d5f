"""Findings of `bench doctor` on processors: measured peaks, and refused instructions."""

from __future__ import annotations

from collections.abc import Iterator

from backends.cpu.peak import CpuPeak, operations
from bench.backend import Finding

DTYPES = ("float64", "float32", "float16", "bfloat16", "int8")


def diagnose(peak: CpuPeak) -> Iterator[Finding]:
    """Yield the instruction sets that the kernel lists and the processor refuses, then the peaks."""
    for loop in peak.loops:
        why = peak.measured.refused.get(loop.name)
        if why is not None:
            text = f"the kernel lists {loop.instructions} ({loop.dtype}), but {why}"
            yield Finding("warn", "instructions", f"{text}: peaks leave it out")
    peaks = []
    for dtype in DTYPES:
        fastest = peak.fastest(dtype)
        if fastest is not None:
            loop, rate = fastest
            peaks.append(
                f"{dtype} {peak.tflops(dtype):.3g} T{operations(dtype)}/s ({loop.instructions}, "
                f"{rate.per_cycle:.4g} per cycle and core at {rate.clock_hz / 1e9:.2f} GHz)"
            )
    if peaks:
        yield Finding("ok", "peaks", "; ".join(peaks))
    else:
        yield Finding("warn", "peaks", f"{peak.source('float32')}: rows have no utilization")
