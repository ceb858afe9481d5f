"""The peak rates of this processor: the fastest loop of each dtype, as measured.

Nothing is looked up: a cloud machine's processor may be another than its name says, and no table says what
its hypervisor leaves of it. Only multiply-adds count, because matrix products use nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backends.cpu.loops import MachineLoop, loops_of
from backends.cpu.rates import LoopRate, Measured
from backends.cpu.rates_cache import kept_rates
from backends.cpu.topology import CpuIdentity, CpuTopology, cpu_topology

# These can be multiplied as float32, which holds their numbers without error.
CONVERTED = ("float16", "bfloat16", "int8")

Measure = Callable[[CpuIdentity, Sequence[MachineLoop], int, Sequence[int]], Measured]


def operations(dtype: str) -> str:
    """Name what is counted in a dtype: OP, or FLOP."""
    return "OP" if dtype == "int8" else "FLOP"


@dataclass(frozen=True)
class CpuPeak:
    """Peak rates of `cores_in_use` cores that all compute at the same time.

    `reason` says why no loop was run, `note` what else the rates depend on.
    """

    name: str
    cores_in_use: int
    loops: tuple[MachineLoop, ...]
    measured: Measured
    reason: str = ""
    note: str = ""

    def fastest(self, dtype: str) -> tuple[MachineLoop, LoopRate] | None:
        """Find the fastest loop that multiplies numbers of this dtype, None if there is none."""
        dtypes = (dtype, "float32") if dtype in CONVERTED else (dtype,)
        ran = [
            (loop, self.measured.rates[loop.name])
            for loop in self.loops
            if loop.dtype in dtypes and loop.name in self.measured.rates
        ]
        return max(ran, key=lambda each: each[1].per_second, default=None)

    def tflops(self, dtype: str) -> float | None:
        """The peak in 1e12 operations per second; None where it is unknown."""
        fastest = self.fastest(dtype)
        return None if fastest is None else fastest[1].per_second * self.cores_in_use / 1e12

    def source(self, dtype: str) -> str:
        """Say in a sentence what ran and how fast, or why there is no peak."""
        fastest = self.fastest(dtype)
        if fastest is None:
            return f"no {dtype} peak for {self.name}: {self._why_none(dtype)}"
        loop, rate = fastest
        converted = "" if loop.dtype == dtype else " of numbers converted to float32"
        cores = f"{self.cores_in_use} core{'s' if self.cores_in_use > 1 else ''}"
        per_cycle = f"{rate.per_cycle:.4g} {operations(dtype)}/cycle"
        clock = f"{rate.clock_hz / 1e9:.2f} GHz"
        return (
            f"{loop.instructions}{converted}, in registers on {cores}: "
            f"{per_cycle} × {self.cores_in_use} × {clock}, measured{self.note}"
        )

    def _why_none(self, dtype: str) -> str:
        if self.reason:
            return self.reason
        refused = [
            self.measured.refused[loop.name]
            for loop in self.loops
            if loop.dtype == dtype and loop.name in self.measured.refused
        ]
        return refused[0] if refused else f"no {dtype} instructions"


def cpu_peak(
    threads: int, topology: CpuTopology | None = None, measure: Measure = kept_rates
) -> CpuPeak:
    """Measure the peak of `threads` threads, at most one per physical core.

    A quota does not lower it: until the time of a period is used up, all threads run at full speed, and so
    do samples that are shorter. The first call after a boot runs the loops, for 0.2 s; see rates_cache.py
    for later ones.
    """
    if threads < 1:
        raise ValueError(f"threads: {threads}: at least 1 is needed")
    topology = topology or cpu_topology()
    cores = min(threads, topology.physical_cores)
    cpu = topology.identity
    loops, reason = loops_of(cpu), _why_no_loops(cpu)
    if reason or not loops:
        reason = reason or "no vector multiply-add instructions that are known here"
        return CpuPeak(cpu.name, cores, (), Measured({}, {}), reason)
    note = ""
    if topology.hybrid:
        note += "; efficiency cores count as performance cores, an upper bound"
    if topology.quota is not None and topology.quota.cpus < topology.physical_cores:
        note += f"; CPU time limited to {topology.quota.cpus:g} CPUs"
    return CpuPeak(
        cpu.name, cores, tuple(loops), measure(cpu, loops, cores, topology.cpus), note=note
    )


def _why_no_loops(cpu: CpuIdentity) -> str:
    """Say why loops give no bound on this machine; "" if they do."""
    if cpu.system != "Linux":
        return f"loops of machine code are run on Linux only, and this is {cpu.system}"
    if "sme" in cpu.flags:
        return "its matrix unit (SME) is faster than its vector instructions, and no loop uses it"
    return ""
