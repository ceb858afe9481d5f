"""What distorts measurements on this host: settings, limits, and load.

Each check reads the kernel's files below a root and returns a finding, None where it does not apply. Most
follow what pyperf's `system tune` and LLVM's benchmarking guide set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.backend import Finding
from bench.processors import BINDING, PROCESSORS, cpu_quota

CPU = "sys/devices/system/cpu"


@dataclass(frozen=True)
class Host:
    """The root of the file system, the environment, and how many processors this process may use."""

    root: Path
    environment: Mapping[str, str]
    processors: int

    def read(self, path: str) -> str | None:
        """Read a file without surrounding blanks, None where it cannot be read."""
        try:
            return (self.root / path).read_text(errors="replace").strip()
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """Read a file's number, None where there is none."""
        text = self.read(path)
        return int(text) if text and re.fullmatch(r"-?[0-9]{1,18}", text) else None


Check = Callable[[Host], Finding | None]


def governor(host: Host) -> Finding | None:
    """Look for processors whose clock follows the load."""
    paths = sorted((host.root / CPU).glob("cpu[0-9]*/cpufreq/scaling_governor"))
    governors = {host.read(str(path.relative_to(host.root))) for path in paths} - {None}
    if not governors:
        return None
    names = ", ".join(sorted(str(name) for name in governors))
    if governors == {"performance"}:
        return Finding("ok", "governor", names)
    return Finding(
        "warn",
        "governor",
        f"{names}: the clock rises only under load",
        "sudo cpupower frequency-set --governor performance",
    )


def turbo(host: Host) -> Finding | None:
    """Check whether clocks above the nominal one are allowed."""
    for path, on in ((f"{CPU}/intel_pstate/no_turbo", 0), (f"{CPU}/cpufreq/boost", 1)):
        value = host.number(path)
        if value is not None and value != on:
            return Finding("ok", "turbo", "off")
        if value is not None:
            return Finding(
                "warn",
                "turbo",
                "on: the clock depends on temperature and on how many cores are busy",
                f"echo {1 - on} | sudo tee /{path}",
            )
    return None


def power_limit(host: Host) -> Finding | None:
    """Look for a power limit below the one that the processor is made for."""
    zone = "sys/class/powercap/intel-rapl:0/constraint_0"
    limit, most = host.number(f"{zone}_power_limit_uw"), host.number(f"{zone}_max_power_uw")
    if not limit or not most:
        return None
    if limit >= most:
        return Finding("ok", "power limit", f"{limit / 1e6:.0f} W")
    return Finding(
        "warn",
        "power limit",
        f"{limit / 1e6:.0f} W, though the processor is made for {most / 1e6:.0f} W",
        f"echo {most} | sudo tee /{zone}_power_limit_uw",
    )


def throttled(host: Host) -> Finding | None:
    """Check whether processors were throttled by heat since the last boot."""
    paths = sorted((host.root / CPU).glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    counts = [host.number(str(path.relative_to(host.root))) for path in paths]
    known = [count for count in counts if count is not None]
    if not known:
        return None
    if not any(known):
        return Finding("ok", "heat", "no processor was throttled since the last boot")
    return Finding(
        "warn",
        "heat",
        f"throttled processors {sum(known)} times since the last boot",
        "sensors    # lm-sensors: temperatures and fans",
    )


def quota(host: Host) -> Finding | None:
    """Look for a control group that grants less time than the processors have."""
    granted = cpu_quota(host.root)
    if granted is None or granted.cpus >= host.processors:
        return None
    text = f"a quota grants the time of {granted.cpus:.3g} of {host.processors} processors"
    if granted.throttled_s:
        text += f" and has stopped this group for {granted.throttled_s:.3g} s so far"
    mend = f"bench run … --threads {granted.threads}"
    if granted.cpus < 1:
        text += ": even one thread is stopped in every period"
        mend += "    # and raise the quota to 1 or more, where it was set"
    else:
        text += ": more threads than that stop each other"
    return Finding("warn", "cgroup", text, mend)


def virtual(host: Host) -> Finding | None:
    """Look for a hypervisor, whose other guests cannot be seen from here."""
    flags = re.search(r"^flags\s*:.*\bhypervisor\b", host.read("proc/cpuinfo") or "", re.MULTILINE)
    if flags is None:
        return None
    name = host.read("sys/class/dmi/id/product_name")
    return Finding(
        "warn",
        "machine",
        f"virtual{f' ({name})' if name else ''}: clock and neighbors cannot be seen; take more rounds, "
        "repeat at other times of the day, and compare",
        "bench run … --rounds 12",
    )


def huge_pages(host: Host) -> Finding | None:
    """Check whether large arrays can have huge pages."""
    text = host.read("sys/kernel/mm/transparent_hugepage/enabled")
    chosen = re.search(r"\[(\w+)\]", text or "")
    if chosen is None:
        return None
    if chosen[1] != "never":
        return Finding("ok", "huge pages", chosen[1])
    return Finding(
        "warn",
        "huge pages",
        "never: large arrays cost more page table walks than elsewhere",
        "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
    )


def numa_balancing(host: Host) -> Finding | None:
    """Check whether the kernel moves memory between nodes."""
    nodes = list((host.root / "sys/devices/system/node").glob("node[0-9]*"))
    if len(nodes) < 2 or host.number("proc/sys/kernel/numa_balancing") in (None, 0):
        return None
    return Finding(
        "warn",
        "NUMA",
        f"{len(nodes)} nodes, and the kernel moves memory between them",
        "sudo sysctl kernel.numa_balancing=0",
    )


def clock_source(host: Host) -> Finding | None:
    """Look for a clock that is slow to read."""
    name = host.read("sys/devices/system/clocksource/clocksource0/current_clocksource")
    if name not in ("hpet", "acpi_pm", "jiffies", "refined-jiffies"):
        return None
    return Finding(
        "warn",
        "clock source",
        f"{name}: reading the time takes about a microsecond",
        "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource",
    )


def swap(host: Host) -> Finding | None:
    """Check whether memory was moved to a disk."""
    values = dict(re.findall(r"^(\w+):\s+([0-9]{1,15}) kB", host.read("proc/meminfo") or "", re.M))
    total, free = int(values.get("SwapTotal", 0)), int(values.get("SwapFree", 0))
    if total == 0:
        return None
    if total - free < 1024:
        return Finding("ok", "swap", "unused")
    return Finding(
        "warn",
        "swap",
        f"{(total - free) / 2**20:.1f} GiB of memory are on disk: it is short, or was",
        "sudo swapoff --all && sudo swapon --all    # where that much memory is free",
    )


def load(host: Host) -> Finding | None:
    """Count the processes that wanted a processor in the last minute."""
    text = (host.read("proc/loadavg") or "").split()
    if not text or not re.fullmatch(r"[0-9]{1,6}\.[0-9]+", text[0]):
        return None
    average = float(text[0])
    if average < max(0.5, 0.1 * host.processors):
        return Finding("ok", "load", f"{average:.2g} in the last minute")
    return Finding(
        "warn",
        "load",
        f"{average:.2g} in the last minute on {host.processors} processors",
        "top    # shows the busy processes; stop them, or wait",
    )


def threads(host: Host) -> Finding | None:
    """Look for variables that set the number of threads or bind them."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_DYNAMIC", *BINDING)
    present = [name for name in names if name in host.environment]
    if not present:
        return None
    return Finding(
        "warn",
        "threads",
        ", ".join(f"{name}={host.environment[name]}" for name in present) + ": fine if intended",
        f"unset {' '.join(present)}",
    )


CHECKS: tuple[Check, ...] = (
    virtual,
    governor,
    turbo,
    power_limit,
    throttled,
    quota,
    load,
    swap,
    huge_pages,
    numa_balancing,
    clock_source,
    threads,
)


def examine(host: Host, checks: tuple[Check, ...] = CHECKS) -> list[Finding]:
    """Run the checks; one that fails is a finding as well."""
    findings = []
    for check in checks:
        try:
            finding = check(host)
        except Exception as error:
            topic = check.__name__.replace("_", " ")
            text = f"could not be examined: {type(error).__name__}: {error}"
            finding = Finding("warn", topic, text)
        if finding is not None:
            findings.append(finding)
    return findings


def this_host() -> Host:
    """Describe the machine that this process runs on."""
    return Host(Path("/"), os.environ, len(PROCESSORS))
