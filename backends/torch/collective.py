"""Collectives by torch.distributed's own functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.distributed as dist

from backends.torch.group import RankGroup
from backends.torch.implementation import Tensors
from backends.torch.operands import TORCH_DTYPES, to_device
from backends.torch.ranks import RankSteps
from bench.kernels.base import Operand
from bench.kernels.collective import ROOT, SUMMED, Collective


@dataclass(frozen=True)
class Buffers:
    """What one execution sends and receives; in place, the one is part of the other."""

    sent: torch.Tensor
    received: torch.Tensor


class TorchCollective:
    """One call of torch.distributed per execution."""

    def unsupported(self, case: Collective, device: torch.device) -> str | None:
        """Refuse world sizes that do not fit, and what torch.distributed only does in place."""
        if case.operation in ("all_reduce", "broadcast") and not case.in_place:
            return f"torch.distributed has {case.operation} in place only; set in_place: true"
        return case.unfit()

    def build(
        self, case: Collective, group: RankGroup, device: torch.device, seed: int
    ) -> RankSteps:
        """Allocate a rank's buffers, one pair more where an operation sums into its own input."""
        payload = to_device(Operand(case.payload(group.rank, seed), case.dtype), device)
        if case.dtype == "float8_e4m3":
            payload = payload.view(torch.int8)  # no transport knows the type
        fresh = _allocated(case, payload, group.rank)
        summed_again = case.in_place and case.operation in SUMMED
        used = _allocated(case, payload, group.rank) if summed_again else fresh
        operation = _operation(case, group)
        receives = bool(case.parts(group.rank))
        output = fresh.received.view(TORCH_DTYPES[case.dtype])

        def again() -> Tensors:
            operation(used)
            return {}

        def last() -> Tensors:
            operation(fresh)
            return {"y": output} if receives else {}

        def restore() -> None:
            if case.in_place:
                fresh.sent.copy_(payload)

        return RankSteps(
            again,
            last,
            restore,
            lambda values: case.check(group.rank, values, seed),
            idle=case.operation == "send_recv" and group.rank not in (case.sender, case.receiver),
        )


def _allocated(case: Collective, payload: torch.Tensor, rank: int) -> Buffers:
    """Allocate what an execution receives into; in place, with the payload where it belongs."""
    size = sum(part.count for part in case.parts(rank))
    if not case.in_place:
        return Buffers(payload, torch.empty(size, dtype=payload.dtype, device=payload.device))
    if case.operation == "all_gather":
        received = torch.empty(size, dtype=payload.dtype, device=payload.device)
        sent = received[rank * len(payload) :][: len(payload)]
        sent.copy_(payload)
        return Buffers(sent, received)
    sent = payload.clone()
    return Buffers(sent, sent[rank * size :][:size] if case.operation == "reduce_scatter" else sent)


def _operation(case: Collective, group: RankGroup) -> Callable[[Buffers], object]:
    """Return the call that each execution makes."""
    ranks = group.measured
    if case.operation == "all_reduce":
        return lambda buffers: dist.all_reduce(buffers.received, group=ranks)
    if case.operation == "broadcast":
        return lambda buffers: dist.broadcast(buffers.received, ROOT, group=ranks)
    if case.operation == "all_gather":
        return lambda buffers: dist.all_gather_into_tensor(
            buffers.received, buffers.sent, group=ranks
        )
    if case.operation == "reduce_scatter":
        return lambda buffers: dist.reduce_scatter_tensor(
            buffers.received, buffers.sent, group=ranks
        )
    if case.operation == "send_recv":
        return partial(_send_or_receive, case, group)
    counts = case.send_counts()
    received = [part.count for part in case.parts(group.rank)]
    even = case.operation == "all_to_all"
    return lambda buffers: dist.all_to_all_single(
        buffers.received,
        buffers.sent,
        None if even else received,
        None if even else counts,
        group=ranks,
    )


def _send_or_receive(case: Collective, group: RankGroup, buffers: Buffers) -> None:
    assert case.sender is not None
    assert case.receiver is not None
    if group.rank == case.sender:
        dist.send(buffers.sent, case.receiver, group=group.measured)
    elif group.rank == case.receiver:
        dist.recv(buffers.received, case.sender, group=group.measured)
