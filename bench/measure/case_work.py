"""What a case computes and how much memory that takes on the host.

A drawing of routing may be larger than the machine's memory, and a kernel of a plug-in may fail or hang.
So the worker computes the work of a case, and checks beforehand whether there is memory for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psutil

from bench.config.cases import Case
from bench.kernels.base import Kernel, Work
from bench.measure.border import WrongValue, checked
from bench.measure.protocol import CaseWork

# Rates are floats.
MOST_WORK = 2**1000


def describe_case(kernel: Kernel, seed: int) -> CaseWork:
    """Return the work of a case and of its stages. Raises WrongValue for work that no case can have."""
    stages = kernel.stage_work(seed)
    if not isinstance(stages, dict):
        raise WrongValue(f"stage_work() of kernel {kernel.name} returned {stages!r:.80}")
    return CaseWork(
        whole=_checked_work(kernel.work(seed), f"work() of kernel {kernel.name}"),
        stages={
            str(stage): _checked_work(work, f"stage_work() of kernel {kernel.name}, {stage}")
            for stage, work in stages.items()
        },
        memory_bytes=int(kernel.memory_bytes()),
    )


def _checked_work(value: object, what: str) -> Work:
    work = checked(value, Work, what)
    if not (0 <= work.flops < MOST_WORK and 1 <= work.bytes < MOST_WORK):
        raise WrongValue(
            f"{what}: {work.flops} FLOPs and {work.bytes} bytes; expected at least 0 and 1, "
            "and no more than a float holds"
        )
    return work


def host_bytes(kernel: Kernel) -> int:
    """Return the host memory that a visit takes before anything is on the device."""
    return kernel.routing_bytes() + kernel.input_bytes()


def memory_shortage(needed_bytes: int) -> str | None:
    """Return a sentence if the host has less free memory than this, None if it has enough."""
    free = psutil.virtual_memory().available
    if needed_bytes <= free:
        return None
    return f"inputs and routing take {gib(needed_bytes)} GiB on the host, {gib(free)} GiB are free"


def too_large(cases: Sequence[Case]) -> Iterator[str]:
    """Say which cases of a config cannot run in this machine's memory, whatever the device is."""
    total = psutil.virtual_memory().total
    large = [case for case in cases if host_bytes(case.kernel) > total]
    if large:
        worst = max(large, key=lambda case: host_bytes(case.kernel))
        yield (
            f"{len(large)} of {len(cases)} cases will end as out_of_memory on this machine, which has "
            f"{gib(total)} GiB: inputs and routing are made on the host; {worst.title} takes the most, "
            f"{gib(host_bytes(worst.kernel))} GiB"
        )


def gib(size: int) -> str:
    """Return a number of bytes in GiB."""
    return f"{size / 2**30:,.1f}"
