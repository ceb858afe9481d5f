"""Groups of ranks over torch.distributed: how processes meet, and what all of them do in lockstep.

Rank 0 announces each command over a group of its own, whose ranks wait for it as long as a visit may take.
Barriers and times go over a second one, in which a rank that does not answer is noticed. Both are gloo on
the host. The operations that are measured have a third, of the backend's kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from bench.backend import Place
from bench.errors import PeerLost

# What torch.distributed says of a rank that does not answer, and of one that is gone.
SILENT = ("Timed out", "timed out", "Timeout", "timeout")
CLOSED = ("Connection closed", "Connection reset", "Broken pipe", "Connection refused")


class RankGroup:
    """The groups of one process, which it stays in from case to case."""

    def __init__(self, place: Place, kind: str) -> None:
        """Meet the other ranks. Raises PeerLost where one does not come."""
        self.rank, self.size = place.rank, place.world_size
        self._patience_s = place.timeout_s
        join, patience = (timedelta(seconds=s) for s in (place.join_timeout_s, place.timeout_s))
        with self.waiting(place.join_timeout_s):
            dist.init_process_group(
                "gloo",
                init_method=f"file://{place.meeting_point}",
                rank=place.rank,
                world_size=place.world_size,
                timeout=join,
            )
            self._commands = dist.group.WORLD
            self._host: Any = dist.new_group(backend="gloo", timeout=patience)
            self.measured: Any = dist.new_group(backend=kind, timeout=patience)

    def command(self, code: int = 0, number: int = 0) -> tuple[int, int]:
        """Send a command from rank 0, or wait for it on another; return it."""
        message = torch.tensor([code, number], dtype=torch.int64)
        with self.waiting():
            dist.broadcast(message, 0, group=self._commands)
        code, number = message.tolist()
        return code, number

    def barrier(self) -> None:
        """Wait for all ranks."""
        with self.waiting():
            dist.all_reduce(torch.zeros(1), group=self._host)

    def gather(self, values: Sequence[float]) -> NDArray[np.float64]:
        """Return the values of all ranks, [world_size, values]."""
        own = torch.tensor(values, dtype=torch.float64)
        everyone = torch.empty(self.size * len(values), dtype=torch.float64)
        with self.waiting():
            dist.all_gather_into_tensor(everyone, own, group=self._host)
        return everyone.numpy().reshape(self.size, len(values))

    @contextmanager
    def waiting(self, patience_s: float | None = None) -> Iterator[None]:
        """Raise PeerLost in a block in which another rank does not answer or is gone."""
        try:
            yield
        except RuntimeError as error:
            text = str(error)
            if any(words in text for words in CLOSED):
                raise PeerLost("another rank has closed its connection") from error
            if any(words in text for words in SILENT):
                seconds = self._patience_s if patience_s is None else patience_s
                raise PeerLost(f"waited {seconds:g} s for another rank") from error
            raise


_joined: dict[str, RankGroup] = {}


def joined(place: Place, kind: str) -> RankGroup:
    """Return the group that this process is in, or join it.

    `kind` is torch.distributed's name of the backend for the operations that are measured.
    """
    if place.meeting_point not in _joined:
        _joined[place.meeting_point] = RankGroup(place, kind)
    return _joined[place.meeting_point]
