"""Runs the checks of a backend in workers: a backend that crashes or hangs fails the check, no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bench.conform.cases import KERNEL_ORDER
from bench.conform.check import Check, CheckResult
from bench.conform.checks import CHECKS
from bench.measure.client import WorkerDied, WorkerProcess, WorkerTimeout
from bench.measure.protocol import BackendDescription

# The grids of all implementations share this time; one implementation alone may use the second.
GRIDS_S = 30.0
LEAST_GRID_S = 1.5
ONE_GRID_S = 60.0


class ConformProcess(WorkerProcess):
    """A worker that runs checks."""

    code: ClassVar[str] = "import bench.processors; from bench.conform.worker import main; main()"

    def check(self, request: dict[str, Any], timeout_s: float) -> CheckResult:
        """Run a check. Raises WorkerDied or WorkerTimeout: the worker is gone."""
        return CheckResult(**self.ask({"request": "check", **request}, timeout_s))


@dataclass(frozen=True)
class Step:
    """A check, and the kernel and implementation that it is run for; None for any."""

    check: Check
    kernel: str | None = None
    implementation: str | None = None

    @property
    def target(self) -> str:
        """The kernel or implementation, as it is shown."""
        if self.check.scope not in ("kernel", "implementation"):
            return ""
        return ".".join(name for name in (self.kernel, self.implementation) if name)


def plan(description: BackendDescription, only: str | None = None) -> list[Step]:
    """Return the checks of a backend; with `only`, those that concern this implementation.

    It is named as in `--implementation`, or as KERNEL.NAME where several kernels have one of that name.
    """
    offered = [
        (kernel, name)
        for kernel in sorted(description.implementations, key=_simple_first)
        for name in description.implementations[kernel]
        if only in (None, name, f"{kernel}.{name}")
    ]
    kernels = list(dict.fromkeys(kernel for kernel, _ in offered))
    steps: list[Step] = []
    for check in CHECKS:
        if check.scope == "implementation":
            steps += [Step(check, *pair) for pair in offered]
        elif only is not None:
            # Each kernel of that implementation has cases of its own.
            first = dict(reversed(offered))
            if check.scope != "backend":
                steps += [Step(check, kernel, first[kernel]) for kernel in kernels]
        elif check.scope == "kernel":
            steps += [Step(check, kernel) for kernel in kernels]
        else:
            steps.append(Step(check))
    return steps


def _simple_first(kernel: str) -> tuple[int, str]:
    return KERNEL_ORDER.index(kernel) if kernel in KERNEL_ORDER else len(KERNEL_ORDER), kernel


def run(
    backend: str,
    device_index: int,
    steps: Sequence[Step],
    timeout_s: float,
    begin: Callable[[Step], None] = lambda step: None,
) -> Iterator[CheckResult]:
    """Yield the result of each step; calls `begin` before it."""
    grids = sum(step.check.scope == "implementation" for step in steps)
    budget_s = ONE_GRID_S if grids == 1 else max(LEAST_GRID_S, GRIDS_S / max(1, grids))
    worker: ConformProcess | None = None
    try:
        for step in steps:
            begin(step)
            if worker is None:
                worker = ConformProcess()
                worker.describe([backend])  # imports its libraries, which no check has to wait for
            request = {
                "check": step.check.name,
                "backend": backend,
                "device": device_index,
                "kernel": step.kernel,
                "implementation": step.implementation,
                "budget_s": min(budget_s, timeout_s / 2),
            }
            try:
                yield worker.check(request, timeout_s)
            except WorkerDied as death:
                worker.discard()
                worker = None
                yield _failed(step, str(death))
            except WorkerTimeout:
                worker.discard()
                worker = None
                yield _failed(step, f"no answer within {timeout_s:g} s: the worker was killed")
    finally:
        if worker is not None:
            worker.discard()


def _failed(step: Step, seen: str) -> CheckResult:
    check = step.check
    return CheckResult(check.name, step.target, "failed", seen, check.expected, check.contract, 0.0)
