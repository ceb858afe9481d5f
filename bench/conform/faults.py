"""Checks of failures: the exceptions of the contract, memory that comes back, and no rate above the peak."""

from __future__ import annotations

import statistics

import numpy as np
import psutil

from bench.backend import TOLERATED_EXCESS, Limits
from bench.conform.check import Check
from bench.conform.outcomes import Failed, NotApplicable
from bench.conform.subject import Subject, altered, enough_loops, outputs_of, prepared
from bench.errors import OutOfMemory, Unsupported
from bench.kernels.base import Kernel, Operand
from bench.measure.border import checked, checked_verification

UNKNOWN_NAME = "no-such-implementation"

# A square matrix of this size takes a PiB in 8 bits: more than any device has, and any process can address.
HUGE = 1 << 25

CYCLES = 20
WARM_CYCLES = 3
CYCLE_BYTES = 16 << 20
CYCLE_SIZE = 1024
# A leak keeps each case; a busy machine or an allocator's cache does not grow by a quarter of all cases.
LEAK_SHARE = 0.25
LEAK_ATTEMPTS = 3

PEAK_SIZE = 1024
PEAK_SAMPLES = 9


def unknown_implementation(subject: Subject) -> str:
    """Prepare a case by an implementation that nobody has."""
    case, _ = subject.probe
    try:
        subject.backend.prepare(case, UNKNOWN_NAME, subject.device, case.make_inputs(0)).close()
    except Unsupported as error:
        return f"Unsupported: {error}"[:200]
    raise Failed(f"prepare() accepted {UNKNOWN_NAME!r}")


def out_of_memory(subject: Subject) -> str:
    """Prepare a case that no memory holds, then one that does."""
    case, implementation = subject.probe
    if case.name != "matmul":
        raise NotApplicable(f"no inputs of {case.name} can be made without their memory")
    huge = altered(case, m=HUGE, n=HUGE, k=HUGE)
    # One element stands for all, so that the host needs no memory for it.
    shape = (1, HUGE, HUGE)
    one = Operand(np.broadcast_to(np.float32(0), shape), huge.dtype)
    seen = ""
    try:
        subject.backend.prepare(huge, implementation, subject.device, {"a": one, "b": one}).close()
    except (OutOfMemory, MemoryError, Unsupported) as error:
        seen = f"{type(error).__name__}: {error}"[:200]
    if not seen:
        raise Failed(
            f"prepare() accepted {huge.shape()}, which takes {huge.memory_bytes() >> 50} PiB"
        )
    _expect_right(subject, case)
    return seen


def _expect_right(subject: Subject, case: Kernel) -> None:
    """Raise Failed where a case is not computed as before."""
    with subject.prepared(case) as ready:
        outputs = outputs_of(ready)
    check = checked_verification(case, case.make_inputs(0), outputs, 0, "outputs()")
    if not check.passed:
        raise Failed(f"after running out of memory, {case.label()}: {check.explanation}")


def memory_returns(subject: Subject) -> str:
    """Prepare and close a case many times."""
    case = _case_of(subject, CYCLE_BYTES)
    leaked = {}
    for _ in range(LEAK_ATTEMPTS):
        leaked = _growth(subject, case)
        kept = (CYCLES - WARM_CYCLES) * case.memory_bytes()
        if all(grown < LEAK_SHARE * kept for grown in leaked.values()):
            texts = (f"{name} {grown / 2**20:+.0f} MiB" for name, grown in leaked.items())
            return f"after {CYCLES} cycles of {case.memory_bytes() >> 20} MiB: {', '.join(texts)}"
    texts = (f"{name} grew by {grown / 2**20:.0f} MiB" for name, grown in leaked.items())
    raise Failed(f"after {CYCLES} cycles of {case.memory_bytes() >> 20} MiB, {', '.join(texts)}")


def _case_of(subject: Subject, most_bytes: int) -> Kernel:
    """Return the largest case of the probe's kernel that takes no more memory."""
    size = 64
    while subject.resized(2 * size).memory_bytes() <= most_bytes and size < CYCLE_SIZE:
        size *= 2
    return subject.resized(size)


def _growth(subject: Subject, case: Kernel) -> dict[str, int]:
    """Return by how many bytes the memory of the process, and of the device if known, grew."""
    _, implementation = subject.probe
    process = psutil.Process()
    inputs = case.make_inputs(0)
    used: list[dict[str, int]] = []
    for _ in range(CYCLES):
        sampler = subject.backend.telemetry(subject.device)
        ready = subject.backend.prepare(case, implementation, subject.device, inputs)
        sampler.start()
        run = subject.checked_run(ready)
        run(run.whole(1))
        reading = sampler.stop()
        ready.close()
        del ready, run
        memory = {"process": process.memory_info().rss}
        if isinstance(reading.memory_peak_bytes, int):
            memory["device"] = reading.memory_peak_bytes
        used.append(memory)
    first, last = used[WARM_CYCLES - 1], used[-1]
    return {name: last[name] - first[name] for name in last if name in first}


def below_peak(subject: Subject) -> str:
    """Compare the rate of a large case with the peak."""
    case = subject.resized(PEAK_SIZE)
    reported = subject.backend.limits(subject.device, case.dtype)
    limits = checked(reported, Limits, "limits()")
    work = case.work(0)
    if limits.peak_tflops is None or not work.flops:
        raise NotApplicable(f"no peak is known for {case.label()}")
    with prepared(subject, case, subject.probe[1]) as ready:
        run = subject.checked_run(ready)
        loops = enough_loops(run)
        rates = [work.flops * loops / run(loops) / 1e12 for _ in range(PEAK_SAMPLES)]
    rate = statistics.median(rates)
    text = f"{case.label()}: {rate:.3g} TFLOP/s, peak {limits.peak_tflops:.3g}"
    if rate > TOLERATED_EXCESS * limits.peak_tflops and not subject.device.simulated:
        raise Failed(text)
    return text


CHECKS = (
    Check(
        "unknown implementation",
        "Backend.prepare",
        "Unsupported for an implementation that there is not",
        unknown_implementation,
    ),
    Check(
        "out of memory",
        "Backend.prepare",
        "OutOfMemory for a case of a PiB, and right outputs afterwards",
        out_of_memory,
    ),
    Check(
        "memory returned",
        "Prepared.close",
        f"memory does not grow over {CYCLES} cycles of prepare and close",
        memory_returns,
    ),
    Check(
        "nothing above the peak",
        "Limits.peak_tflops",
        f"a rate of at most {TOLERATED_EXCESS:g} times the peak",
        below_peak,
    ),
)
