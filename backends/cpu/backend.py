"""Backend `cpu`: the host's processor through torch, timed by the host's clock."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

import psutil
import torch

from backends.cpu import doctor
from backends.cpu.openmp import (
    binding_variables,
    bound_processors,
    permitted_threads,
    threads_chosen,
)
from backends.cpu.peak import CpuPeak, cpu_peak
from backends.cpu.topology import cpu_topology
from backends.torch.device import TorchBackend
from backends.torch.implementation import Step
from bench.backend import Device, Finding, Limits, Telemetry
from bench.processors import PROCESSORS, cpu_quota

# Larger than any cache of a core, small enough for a laptop.
BANDWIDTH_BYTES = 256 << 20
# Of the time in which samples are taken. Less happens to groups that stay within their quota.
NOTABLE_THROTTLING = 0.01


class CpuBackend(TorchBackend):
    """One device, with as many threads as OMP_NUM_THREADS says, else as many as there are usable cores."""

    name: ClassVar[str] = "cpu"
    priority: ClassVar[int] = 0
    device_type: ClassVar[str] = "cpu"
    process_group: ClassVar[str] = "gloo"
    ranks_share_devices: ClassVar[bool] = True

    def __init__(self) -> None:
        self._topology = cpu_topology(cpus=bound_processors())
        threads = torch.get_num_threads() if threads_chosen() else self._topology.usable_cores
        torch.set_num_threads(permitted_threads(threads))

    @cached_property
    def peak(self) -> CpuPeak:
        """The peak of as many threads as torch uses; measured in 0.2 s unless it is cached."""
        return cpu_peak(torch.get_num_threads(), self._topology)

    def unavailable(self) -> str | None:
        """There is always a processor: None."""
        return None

    def devices(self) -> list[Device]:
        """Describe the processor as one device."""
        return [
            Device(
                index=0,
                name=self._topology.identity.name,
                chip=self._topology.identity.name,
                memory_bytes=psutil.virtual_memory().total,
                cache_bytes=self._topology.llc_bytes,
                runtime=f"{platform.system()} {platform.release()}",
                threads=torch.get_num_threads(),
            )
        ]

    def torch_device(self, device: Device) -> torch.device:
        """Torch's `cpu`."""
        return torch.device("cpu")

    def free_bytes(self, device: Device) -> int | None:
        """Ask the system what can be allocated without swapping."""
        return psutil.virtual_memory().available

    def dtype_unsupported(self, dtype: str, device: Device) -> str | None:
        """Say why processors do not have a dtype; None if they do."""
        if dtype in ("tf32", "hf32"):
            return f"{dtype} is a format of accelerators; a processor multiplies float32 in full"
        if dtype == "float4_e2m1":
            return "no processor multiplies float4_e2m1"
        return None

    def timer(self, device: Device) -> HostTimer:
        """Time by the host's monotonic clock."""
        return HostTimer()

    def limits(self, device: Device, dtype: str) -> Limits:
        """Measure the peak and the bandwidth."""
        return Limits(
            peak_tflops=self.peak.tflops(dtype),
            peak_source=self.peak.source(dtype),
            ceiling_gbps=bandwidth_gbps(),
            ceiling_source="this run read, copied and added arrays",
            launch_s=launch_seconds(),
        )

    def telemetry(self, device: Device) -> CpuTelemetry:
        """Read the kernel's own sensors."""
        return CpuTelemetry(self._binding())

    def _binding(self) -> str | None:
        """Warn if OpenMP keeps torch's threads on fewer processors than this process may use."""
        used = len(self._topology.cpus)
        if used == len(PROCESSORS):
            return None
        return (
            f"{binding_variables()} binds all threads to {used} of {len(PROCESSORS)} processors: "
            "unset it to measure them all"
        )

    def diagnose(self) -> list[Finding]:
        """Report the measured peaks, and the instructions that the processor refuses."""
        return list(doctor.diagnose(self.peak))


class HostTimer:
    """The host's clock, for steps that have finished when they return."""

    timing = "host"

    def __call__(self, steps: list[Step]) -> float:
        """Run the steps; return the seconds that they took."""
        start = time.perf_counter()
        for step in steps:
            step()
        return time.perf_counter() - start

    def now(self) -> float:
        """Read the host's clock."""
        return time.perf_counter()

    def between(self, start: float, end: float) -> float:
        """Subtract two readings, in seconds."""
        return end - start


@cache
def bandwidth_gbps() -> float:
    """Measure the rate at which large arrays are read, copied or added, whichever is fastest, in GB/s.

    Which one is fastest depends on the processor: a copy may bypass the caches. The median of several passes
    counts, because a single pass may be disturbed or lucky.
    """
    a, b = torch.ones(BANDWIDTH_BYTES // 4), torch.zeros(BANDWIDTH_BYTES // 4)
    timer = HostTimer()
    passes: list[tuple[int, Step]] = [
        (1, lambda: {"y": a.sum()}),
        (2, lambda: {"y": b.copy_(a)}),
        (3, lambda: {"y": torch.add(a, b, out=b)}),
    ]
    with torch.inference_mode():
        return max(
            arrays * BANDWIDTH_BYTES / statistics.median(timer([step]) for _ in range(7)) / 1e9
            for arrays, step in passes
        )


@cache
def launch_seconds() -> float:
    """Measure the least time that a torch operator takes, whatever its size."""
    one = torch.ones(1)
    steps: list[Step] = [lambda: {"sum": one.add_(0)}] * 100
    timer = HostTimer()
    with torch.inference_mode():
        return min(timer(steps) for _ in range(20)) / len(steps)


class CpuTelemetry:
    """Reads counters before and after the samples, so that nothing runs beside them.

    `remark` is a warning that is known beforehand; `root` is the folder whose proc and sys are read.
    """

    def __init__(self, remark: str | None = None, root: Path = Path("/")) -> None:
        self._remark = remark
        self._root = root

    def start(self) -> None:
        """Reset the peak of the resident memory, and read the counters of energy and throttling."""
        # Where the kernel does not let the peak be reset, it counts from the worker's start.
        _write(Path("/proc/self/clear_refs"), "5")
        self._quota = cpu_quota(self._root)
        self._energy = rapl_joules(self._root)
        self._since = time.perf_counter()

    def stop(self) -> Telemetry:
        """Read what changed since `start`, and the sensors."""
        elapsed = time.perf_counter() - self._since
        energy = rapl_joules(self._root)
        # The counters wrap around every few minutes to hours; a negative difference is no reading.
        used = energy - self._energy if energy is not None and self._energy is not None else None
        used = used if used is not None and used > 0 else None
        return Telemetry(
            energy_j=used,
            power_w=used / elapsed if used is not None else None,
            clock_mhz=_clock_mhz(),
            temperature_c=_temperature_c(),
            memory_peak_bytes=_peak_resident_bytes(),
            remark="; ".join(filter(None, [self._remark, self._throttling(elapsed)])) or None,
        )

    def _throttling(self, elapsed_s: float) -> str | None:
        """Warn if a quota stopped this process while samples were taken."""
        before, after = self._quota, cpu_quota(self._root)
        if before is None or after is None:
            return None
        if after.throttled_s - before.throttled_s < NOTABLE_THROTTLING * elapsed_s:
            return None
        return (
            f"throttled by a quota of {after.cpus:.3g} CPUs: rates hold between stops, "
            "and longer work is slower"
        )


def rapl_joules(root: Path = Path("/")) -> float | None:
    """Add up the energy counters of the processor packages, in joules; None where they cannot be read."""
    total = 0.0
    packages = sorted((root / "sys/class/powercap").glob("intel-rapl:[0-9]"))
    for package in packages:
        text = _read(package / "energy_uj")
        if text is None:
            return None
        total += int(text) / 1e6
    return total if packages else None


def _clock_mhz() -> float | None:
    """Average the clocks that the kernel's governor reports; virtual machines have none."""
    files = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    clocks = [int(text) / 1e3 for text in map(_read, files) if text]
    return sum(clocks) / len(clocks) if clocks else None


def _temperature_c() -> float | None:
    """Read the hottest sensor of the processor."""
    # psutil has this on Linux and FreeBSD only.
    read: Callable[[], dict[str, list[Any]]] = getattr(psutil, "sensors_temperatures", dict)
    sensors = read()
    chips = ("coretemp", "k10temp")
    return max((entry.current for chip in chips for entry in sensors.get(chip, [])), default=None)


def _peak_resident_bytes() -> int | None:
    """Read the peak of this process's resident memory since it was last reset."""
    for line in (_read(Path("/proc/self/status")) or "").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError:
        return
