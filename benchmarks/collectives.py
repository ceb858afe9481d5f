"""What the harness adds to a collective, and how near two ranks come to the machine's copy rate.

    python benchmarks/collectives.py [--rounds N] [--mib N]

Two ranks on this machine, over gloo. Executions as `bench run` times them and a bare call of the same
torch.distributed.all_reduce take turns in the same processes, so that a busy machine slows both alike. Of
both, the slowest rank counts.

1. Time of an all_reduce, harness over bare loop: medians within 5 %.
2. Bus bandwidth of the two ranks, beside the rate at which one process copies an array of that size, counting
   what it writes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist

from backends.cpu.backend import CpuBackend, HostTimer
from backends.torch.collective import TorchCollective
from backends.torch.group import joined
from backends.torch.ranks import RUN, Member
from bench.backend import Place
from bench.kernels.collective import Collective

RANKS = 2
WARM_UPS = 3


def bare(buffer: torch.Tensor, group: object) -> float:
    """Return the seconds of the slowest rank for one all_reduce after a barrier."""
    dist.barrier()
    start = time.perf_counter()
    dist.all_reduce(buffer, group=group)
    slowest = torch.tensor([time.perf_counter() - start])
    dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
    return float(slowest)


def copy_gbps(size: int) -> float:
    """Return the median rate at which this process copies an array, in bytes written."""
    source, target = (torch.ones(size // 4) for _ in range(2))
    seconds = []
    for _ in range(15):
        start = time.perf_counter()
        target.copy_(source)
        seconds.append(time.perf_counter() - start)
    return size / statistics.median(seconds) / 1e9


def rank(place: Place, case: Collective, rounds: int) -> None:
    """Take the turns of one rank; rank 0 prints."""
    group = joined(place, CpuBackend.process_group)
    with torch.inference_mode():
        steps = TorchCollective().build(case, group, torch.device("cpu"), seed=0)
    member = Member(group, steps, HostTimer())
    buffer = torch.from_numpy(case.payload(place.rank, 0).copy())
    ours, theirs = [], []
    for turn in range(rounds + WARM_UPS):
        subjects: list[tuple[list[float], Callable[[], float]]] = [
            (ours, lambda: float(member.obey(RUN, 1).max())),
            (theirs, lambda: bare(buffer, group.measured)),
        ]
        for times, subject in subjects if turn % 2 else reversed(subjects):
            times.append(subject())
    if place.rank == 0:
        own, loop = (statistics.median(times[WARM_UPS:]) for times in (ours, theirs))
        gbps = case.work(0).bytes * case.bus_factor / own / 1e9
        copied = copy_gbps(case.size_bytes)
        print(f"{case.shape()}, median of {rounds} turns")
        print(f"harness {own * 1e3:.1f} ms, bare loop {loop * 1e3:.1f} ms: {own / loop - 1:+.1%}")
        print(f"bus {gbps:.2f} GB/s; copy {copied:.2f} GB/s: {gbps / copied:.0%} of it")
    dist.barrier()


def main() -> None:
    """Start the ranks and wait for them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--mib", type=int, default=64)
    options = parser.parse_args()
    case = Collective(
        operation="all_reduce", size_bytes=options.mib << 20, world_size=RANKS, in_place=True
    )
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        ranks = [
            context.Process(
                target=rank,
                args=(Place(number, RANKS, str(Path(folder) / "g"), 60, 60), case, options.rounds),
            )
            for number in range(RANKS)
        ]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join()


if __name__ == "__main__":
    main()
