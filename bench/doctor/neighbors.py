"""Which other processes use the processors now, by two readings of their CPU time."""

from __future__ import annotations

import time
from collections.abc import Mapping

import psutil

from bench.backend import Finding

MOMENT_S = 0.5

# Of one processor; less is what a quiet machine does all the time.
BUSY = 0.2
MOST_NAMED = 3


def examine(moment_s: float = MOMENT_S) -> list[Finding]:
    """Find other processes that use a fifth of a processor or more."""
    try:
        before, started = processor_seconds(), time.monotonic()
        time.sleep(moment_s)
        after, took = processor_seconds(), time.monotonic() - started
        shares = {pid: (after[pid] - before[pid]) / took for pid in before.keys() & after.keys()}
        return [judge(shares, {pid: _name(pid) for pid in shares if shares[pid] >= BUSY})]
    except Exception as error:
        return [Finding("warn", "processes", f"could not be examined: {error}")]


def judge(shares: Mapping[int, float], names: Mapping[int, str]) -> Finding:
    """Judge the share of a processor that each process uses."""
    busy = sorted((pid for pid in shares if shares[pid] >= BUSY), key=lambda pid: -shares[pid])
    if not busy:
        return Finding("ok", "processes", "no other process is busy")
    named = [f"{names.get(pid, '?')} ({pid}): {shares[pid]:.1f}" for pid in busy[:MOST_NAMED]]
    if len(busy) > MOST_NAMED:
        named.append(f"and {len(busy) - MOST_NAMED} more")
    return Finding(
        "warn",
        "processes",
        f"others use processors: {', '.join(named)}",
        f"ps -fp {' '.join(map(str, busy))}    # who started them; stop them, or wait",
    )


def processor_seconds() -> dict[int, float]:
    """Read the CPU time of each process, without this one and those that it started."""
    this = psutil.Process()
    own_pids = {this.pid, *(child.pid for child in this.children(recursive=True))}
    seconds = {}
    for process in psutil.process_iter():
        try:
            if process.pid not in own_pids:
                times = process.cpu_times()
                seconds[process.pid] = times.user + times.system
        except psutil.Error:
            continue
    return seconds


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "?"
