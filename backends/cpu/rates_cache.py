"""Measured rates of loops, kept until the machine boots again.

Each worker process needs the peaks. Kept rates only grow: another virtual machine on the same host may have
slowed every repetition of the first measurement, so from time to time a process measures again, and the
larger rates stay.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backends.cpu.cache_folder import cache_folder, read_own, write_own
from backends.cpu.loops import MachineLoop
from backends.cpu.rates import PASSES, LoopRate, Measured, measure_rates
from backends.cpu.topology import CpuIdentity

MEASURE_AGAIN_S = 300.0
PASSES_AGAIN = PASSES // 2
LARGEST_BYTES = 1 << 20
BOOT = Path("/proc/sys/kernel/random/boot_id")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Rate(_Model):
    per_second: Positive
    clock_hz: Positive


class _KeptRates(_Model):
    measured_at: Positive
    rates: dict[str, _Rate]
    refused: dict[str, str]


class _CacheFile(_Model):
    boot: str
    entries: dict[str, _KeptRates]


def kept_rates(
    cpu: CpuIdentity,
    loops: Sequence[MachineLoop],
    threads: int,
    cpus: Sequence[int],
    folder: Path | None = None,
    boot: Path = BOOT,
) -> Measured:
    """Read the rates of this boot, and measure those that are missing or old.

    There is one entry per set of CPUs, number of threads, processor and version of the loops, and one file
    per host name, because a home directory may be shared. Where boots have no identifier or no cache can be
    written, nothing is kept.
    """
    try:
        this_boot = boot.read_text().strip()
    except OSError:
        return measure_rates(loops, threads, cpus)
    host = hashlib.sha256(platform.node().encode()).hexdigest()[:16]
    folder = folder or cache_folder()
    if folder is None:
        return measure_rates(loops, threads, cpus)
    path = folder / f"cpu-rates-{host}.json"
    key = _key(cpu, loops, threads, cpus)
    known = _read(path, this_boot).entries.get(key)
    if known and 0 <= time.time() - known.measured_at < MEASURE_AGAIN_S:
        return _measured(known)
    now = measure_rates(loops, threads, cpus, PASSES_AGAIN if known else PASSES)
    if known:
        now = larger(_measured(known), now)
    kept = _read(path, this_boot)  # others may have written while this process measured
    kept.entries[key] = _KeptRates(
        measured_at=time.time(),
        rates={
            name: _Rate(per_second=rate.per_second, clock_hz=rate.clock_hz)
            for name, rate in now.rates.items()
        },
        refused=dict(now.refused),
    )
    write_own(path, kept.model_dump_json().encode())
    return now


def larger(before: Measured, now: Measured) -> Measured:
    """Take the larger rate of each loop; a loop that ran once is not refused."""
    rates = dict(before.rates)
    for name, rate in now.rates.items():
        if name not in rates or rate.per_second > rates[name].per_second:
            rates[name] = rate
    refused = {name: why for name, why in now.refused.items() if name not in rates}
    return Measured(rates, refused)


def _key(cpu: CpuIdentity, loops: Sequence[MachineLoop], threads: int, cpus: Sequence[int]) -> str:
    """Digest all that the rates depend on; a virtual machine may move to another host within a boot."""
    digest = hashlib.sha256(repr((cpu.vendor, cpu.family, cpu.model, cpu.name)).encode())
    digest.update(repr((threads, tuple(cpus))).encode())
    for loop in loops:
        digest.update(repr((loop.name, loop.operations)).encode() + loop.code)
    return digest.hexdigest()[:32]


def _measured(entry: _KeptRates) -> Measured:
    rates = {name: LoopRate(each.per_second, each.clock_hz) for name, each in entry.rates.items()}
    return Measured(rates, entry.refused)


def _read(path: Path, boot: str) -> _CacheFile:
    """Read the entries of this boot; none if the file is damaged."""
    nothing = _CacheFile(boot=boot, entries={})
    text = read_own(path, LARGEST_BYTES)
    if text is None:
        return nothing
    try:
        kept = _CacheFile.model_validate_json(text)
    except ValidationError:
        return nothing
    return kept if kept.boot == boot else nothing
