"""A case that several ranks compute together: one leads, the others do the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from backends.torch.group import RankGroup
from backends.torch.implementation import Step
from backends.torch.operands import spoil, to_host
from backends.torch.prepared import Timer
from bench.kernels.collective import Check

RUN, OUTPUTS, TAKE_OUTPUTS, CLOSE = range(4)


@dataclass(frozen=True)
class RankSteps:
    """What one rank executes.

    `last` computes the output that is verified, from what `restore` put into its buffers. `again` does the
    same work for all executions before it; where an operation replaces its input, in buffers of its own.
    `check` judges an output on the host. A rank that is `idle` has no part in the operation.
    """

    again: Step
    last: Step
    restore: Callable[[], None]
    check: Callable[[NDArray[np.generic]], Check]
    idle: bool = False


class GroupImplementation(Protocol):
    """One way to compute a kernel by several ranks."""

    def unsupported(self, case: object, device: torch.device) -> str | None:
        """Say in a sentence why this implementation cannot compute the case; None if it can."""

    def build(self, case: object, group: RankGroup, device: torch.device, seed: int) -> RankSteps:
        """Allocate one rank's part of the case."""


class Member:
    """One rank's side of a case: carries out the commands of rank 0."""

    def __init__(self, group: RankGroup, steps: RankSteps, timer: Timer) -> None:
        self.group = group
        self.timing = timer.timing
        self._steps = steps
        self._timer = timer
        self._left: dict[str, torch.Tensor] = {}

    def obey(self, command: int, number: int) -> NDArray[np.float64]:
        """Carry out a command; return what all ranks have to say of it, [world_size, …]."""
        with torch.inference_mode():
            if command == RUN:
                return self.group.gather([self._run(number)])
            if command == OUTPUTS:
                self._steps.restore()
                with self.group.waiting():
                    self._left = dict(self._steps.last())
            return self.group.gather(self._judged(spoiled=command == TAKE_OUTPUTS))

    def _run(self, loops: int) -> float:
        """Execute `loops` times, all ranks beginning together; return this rank's seconds, NaN if idle."""
        steps = self._steps
        self._left = {}
        steps.restore()

        def last() -> dict[str, torch.Tensor]:
            self._left = dict(steps.last())
            return self._left

        self.group.barrier()
        with self.group.waiting():
            seconds = self._timer([*[steps.again] * (loops - 1), last])
        return math.nan if steps.idle else seconds

    def _judged(self, *, spoiled: bool) -> list[float]:
        """Return the check of the output that the last execution left, then spoil it."""
        check = Check(0)
        for output in self._left.values():
            check = self._steps.check(to_host(output))
            if spoiled:
                spoil(output)
        if spoiled:
            self._left = {}
        return [check.wrong, check.first, check.value, check.expected]


class Leader:
    """Rank 0's side of a case, as the harness sees it: what it does, all ranks do."""

    flush_bytes = 0

    def __init__(self, member: Member) -> None:
        self._member = member
        self.timing = member.timing
        self._seconds: list[float | None] = []
        self._broken = False

    def run(self, loops: int) -> float:
        """Execute `loops` times; return the seconds of the slowest rank."""
        seconds = [float(each) for each in self._all(RUN, loops)[:, 0]]
        self._seconds = [None if math.isnan(each) else each for each in seconds]
        return max(each for each in self._seconds if each is not None)

    def rank_seconds(self) -> Sequence[float | None]:
        """Return the seconds of each rank in the last run; None for one that had no part."""
        return self._seconds

    def outputs(self) -> dict[str, NDArray[np.float64]]:
        """Execute once; return the checks of all ranks' outputs, which each rank makes on its host."""
        return _by_name(self._all(OUTPUTS))

    def take_outputs(self) -> dict[str, NDArray[np.float64]]:
        """Return the checks of what the last execution left on all ranks, and spoil it there."""
        return _by_name(self._all(TAKE_OUTPUTS))

    def close(self) -> None:
        """Let the other ranks free the case and wait for the next one."""
        if not self._broken:
            self._member.group.command(CLOSE)

    def _all(self, command: int, number: int = 0) -> NDArray[np.float64]:
        """Let all ranks carry out a command; after a failure, nobody is asked again."""
        self._broken = True
        self._member.group.command(command, number)
        answers = self._member.obey(command, number)
        self._broken = False
        return answers


def follow(member: Member) -> None:
    """Carry out the commands of rank 0 until it closes the case."""
    while True:
        command, number = member.group.command()
        if command == CLOSE:
            return
        member.obey(command, number)


def _by_name(checks: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return dict(zip(("wrong", "first", "value", "expected"), checks.T.copy(), strict=True))
