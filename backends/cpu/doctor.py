"""What `bench doctor` tells about processors: their measured peaks, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator

from backends.cpu.peak import CpuPeak, operations
from bench.backend import Finding

DTYPES = ("float64", "float32", "float16", "bfloat16", "int8")


def diagnose(peak: CpuPeak) -> Iterator[Finding]:
    """Yield the peak of each dtype, and the instruction sets that the kernel lists in vain."""
    for loop in peak.loops:
        why = peak.measured.refused.get(loop.name)
        if why is not None:
            text = f"the kernel lists {loop.instructions} ({loop.dtype}), but {why}"
            yield Finding("warn", "instructions", f"{text}: peaks leave it out")
    told = []
    for dtype in DTYPES:
        found = peak.fastest(dtype)
        if found is not None:
            loop, rate = found
            told.append(
                f"{dtype} {peak.tflops(dtype):.3g} T{operations(dtype)}/s ({loop.instructions}, "
                f"{rate.per_cycle:.4g} per cycle and core at {rate.clock_hz / 1e9:.2f} GHz)"
            )
    if told:
        yield Finding("ok", "peaks", "; ".join(told))
    else:
        yield Finding("warn", "peaks", f"{peak.source('float32')}: rows have no utilization")
