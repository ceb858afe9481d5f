"""Which other processes use the processors now: two looks, a moment apart."""

from __future__ import annotations

import time
from collections.abc import Mapping

import psutil

from bench.backend import Finding

MOMENT_S = 0.5

# Of one processor; less is what a quiet machine does all the time.
BUSY = 0.2
MOST_SHOWN = 3


def examine(moment_s: float = MOMENT_S) -> list[Finding]:
    """Return the processes of others that take a fifth of a processor or more."""
    try:
        before, started = processor_seconds(), time.monotonic()
        time.sleep(moment_s)
        after, took = processor_seconds(), time.monotonic() - started
        shares = {pid: (after[pid] - before[pid]) / took for pid in before.keys() & after.keys()}
        return [judge(shares, {pid: _name(pid) for pid in shares if shares[pid] >= BUSY})]
    except Exception as error:
        return [Finding("warn", "processes", f"could not be looked at: {error}")]


def judge(shares: Mapping[int, float], names: Mapping[int, str]) -> Finding:
    """Return the finding for the processors that each process takes."""
    busy = sorted((pid for pid in shares if shares[pid] >= BUSY), key=lambda pid: -shares[pid])
    if not busy:
        return Finding("ok", "processes", "no other is busy")
    told = [f"{names.get(pid, '?')} ({pid}): {shares[pid]:.1f}" for pid in busy[:MOST_SHOWN]]
    if len(busy) > MOST_SHOWN:
        told.append(f"and {len(busy) - MOST_SHOWN} more")
    return Finding(
        "warn",
        "processes",
        f"others take processors: {', '.join(told)}",
        f"ps -fp {' '.join(map(str, busy))}    # who started them; stop them, or wait",
    )


def processor_seconds() -> dict[int, float]:
    """Return what each process has used so far, ourselves and what we started left out."""
    own = psutil.Process()
    ours = {own.pid, *(child.pid for child in own.children(recursive=True))}
    found = {}
    for process in psutil.process_iter():
        try:
            if process.pid not in ours:
                times = process.cpu_times()
                found[process.pid] = times.user + times.system
        except psutil.Error:
            continue
    return found


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "?"
