"""The processors that this process may use, and how much of their time.

`PROCESSORS` is read when this module is first imported. That must be before torch: with one of `BINDING` in
the environment, its OpenMP library binds the main thread to one place when it is loaded
(github.com/pytorch/pytorch/issues/49971).

A control group (cgroup) may grant less time than its processors have. Its processes run at full speed until
the time of a period, usually 100 ms, is used up, and are then stopped until the next period: throttled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


def _affinity() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


PROCESSORS = _affinity()

# Variables that bind threads: OpenMP's, GNU's (gcc.gnu.org/onlinedocs/libgomp), and Intel's and LLVM's.
BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")


@dataclass(frozen=True)
class CpuQuota:
    """CPU time that control groups grant: `cpus` seconds per second.

    `throttled_s` is how long they have been stopped so far, each of their processors counted.
    """

    cpus: float
    throttled_s: float

    @property
    def threads(self) -> int:
        """How many threads can compute without being throttled; one where even one is.

        A quota is rounded down: threads that wait for each other all wait when one is stopped
        (llama.cpp: github.com/tobocop2/lilbee/pull/660, github.com/ollama/ollama/issues/17916; torch:
        github.com/vllm-project/vllm/pull/34462). With 1.5 CPUs, the median product on two threads runs
        at a rate that is a third above what the group can sustain (docs/methods.md).
        """
        return max(1, int(self.cpus))


def cpu_quota(root: Path = Path("/")) -> CpuQuota | None:
    """Read the tightest quota of this process's control groups (version 1 or 2), None without one.

    Each ancestor limits as well. `root` is the folder whose proc and sys are read.
    """
    quotas = [quota for folder in dict.fromkeys(_groups(root)) for quota in _quota(folder)]
    if not quotas:
        return None
    return CpuQuota(min(one.cpus for one in quotas), sum(one.throttled_s for one in quotas))


def _quota(group: Path) -> Iterator[CpuQuota]:
    """Yield the quota of a group, if it has one."""
    limit, _, period = _read(group / "cpu.max").partition(" ")
    limit = limit or _read(group / "cpu.cfs_quota_us")
    period = period or _read(group / "cpu.cfs_period_us")
    # "max" and -1 are no limit.
    if _number(limit) and _number(period):
        times = dict(line.partition(" ")[::2] for line in _read(group / "cpu.stat").splitlines())
        throttled_s = (
            _number(times.get("throttled_usec", "")) / 1e6
            + _number(times.get("throttled_time", "")) / 1e9
        )
        yield CpuQuota(_number(limit) / _number(period), throttled_s)


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of the groups that can have a quota: this process's, and all above it."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers or "cpu" in controllers.split(","):
            for top, mount in _mounts(root, controllers):
                inside = path.removeprefix(top) if f"{path}/".startswith(f"{top}/") else path
                parts = [part for part in inside.split("/") if part not in ("", "..")]
                for depth in range(len(parts), -1, -1):
                    # A link, such as cpu → cpu,cpuacct, is no second group.
                    yield mount.joinpath(*parts[:depth]).resolve()


def _mounts(root: Path, controllers: str) -> Iterator[tuple[str, Path]]:
    """Yield where a hierarchy is mounted, and the path of the group at the top of the mount.

    A container often sees its own group at the top, while its path is that on the host. Where the kernel
    does not list mounts, the usual places are tried.
    """
    usual = [controllers, "cpu"] if controllers else [".", "unified"]
    for name in usual:
        yield "", root / "sys/fs/cgroup" / name
    for line in _read(root / "proc/self/mountinfo").splitlines():
        mount, _, filesystem = line.partition(" - ")
        kind, options = filesystem.split(" ")[0], filesystem.split(" ")[-1].split(",")
        if kind == "cgroup" and "cpu" in options if controllers else kind == "cgroup2":
            top, folder = (mount.split(" ") + [""] * 5)[3:5]
            yield top.rstrip("/"), root / folder.lstrip("/")


def _read(path: Path) -> str:
    """Return a file's text, "" where there is none. A NUL, which no path may contain, is left out."""
    try:
        return path.read_text(errors="replace").replace("\0", "").strip()
    except (OSError, ValueError):  # ValueError: a path with a NUL
        return ""


def _number(text: str) -> int:
    """Read a number, 0 where there is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0
