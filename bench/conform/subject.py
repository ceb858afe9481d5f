"""What a check looks at: a backend, a device, and cases that they support."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from bench import plugins
from bench.backend import Backend, Device, Prepared
from bench.conform.cases import DTYPE_ORDER, KERNEL_ORDER, sized_parameters
from bench.conform.outcomes import Failed, NotApplicable
from bench.kernels.base import Kernel
from bench.measure.border import checked_outputs
from bench.measure.outputs import Outputs
from bench.measure.timing import CheckedRun

# A call of this length is long beside the resolution of any clock.
CALL_S = 0.01
CALLS = 3
MOST_LOOPS = 1 << 22
# Cases of the timing checks are no larger: their inputs are made on the host.
MOST_BYTES = 256 << 20


@dataclass
class Subject:
    """A backend and a device under examination.

    `kernel` and `implementation` narrow the cases down; None means any that the backend supports. A
    check that can be shortened ends after `budget_s`.
    """

    backend: Backend
    device: Device
    kernel: str | None = None
    implementation: str | None = None
    budget_s: float = 10.0

    def offered(self) -> Iterator[tuple[str, str]]:
        """Yield the kernels and implementations to examine, simple kernels first."""
        known = [name for name in KERNEL_ORDER if name in plugins.kernels()]
        for kernel in [self.kernel] if self.kernel else known:
            for implementation in self.backend.implementations(kernel):
                if self.implementation in (None, implementation):
                    yield kernel, implementation

    def choose(self, size: int = 64, **parameters: Any) -> tuple[Kernel, str]:
        """Return a case of this size that the device supports, and an implementation.

        `parameters` replace those of the case. Raises NotApplicable where nothing is supported.
        """
        for kernel, implementation in self.offered():
            for dtype in DTYPE_ORDER:
                case = make_case(kernel, {**sized_parameters(kernel, size), **parameters}, dtype)
                if case and self.supports(case, implementation):
                    return case, implementation
        raise NotApplicable("no case of the checks is supported")

    def supports(self, case: Kernel, implementation: str) -> bool:
        """Return whether the backend says that it can run a case."""
        return self.backend.unsupported(case, implementation, self.device) is None

    @cached_property
    def probe(self) -> tuple[Kernel, str]:
        """A small case that the device supports, and an implementation."""
        return self.choose()

    def resized(self, size: int) -> Kernel:
        """Return the probe in another size, or in a smaller one where its memory would be large."""
        case, _ = self.probe
        while (
            large := altered(case, **sized_parameters(case.name, size))
        ).memory_bytes() > MOST_BYTES:
            size //= 2
        return large

    @contextmanager
    def prepared(self, case: Kernel | None = None, seed: int = 0) -> Iterator[Prepared]:
        """Prepare a case, the probe by default, and close it again."""
        probe, implementation = self.probe
        case = case or probe
        with prepared(self, case, implementation, seed) as ready:
            yield ready

    @contextmanager
    def timed(self, case: Kernel | None = None) -> Iterator[CheckedRun]:
        """Prepare a case; yield its `run` between readings of the host's clock."""
        with self.prepared(case) as ready:
            yield self.checked_run(ready)

    def checked_run(self, ready: Prepared) -> CheckedRun:
        """Return the `run` of a prepared case between readings of the host's clock."""
        return CheckedRun(
            ready.run,
            ready.timing,
            simulated=self.device.simulated,
            multiple=getattr(ready, "multiple", 1),
        )


@contextmanager
def prepared(
    subject: Subject, case: Kernel, implementation: str, seed: int = 0
) -> Iterator[Prepared]:
    """Prepare a case with the inputs of a seed, and close it again."""
    inputs = case.make_inputs(seed)
    ready = subject.backend.prepare(case, implementation, subject.device, inputs)
    try:
        yield ready
    except BaseException:
        with suppress(Exception):
            ready.close()
        raise
    ready.close()


def altered(case: Kernel, **changes: Any) -> Kernel:
    """Return a case with some parameters replaced."""
    return type(case)(**{**case.parameters(), **changes})


def make_case(kernel: str, parameters: dict[str, Any], dtype: str) -> Kernel | None:
    """Return a case; None where the kernel has no such form."""
    try:
        return plugins.kernels()[kernel](**{**parameters, "dtype": dtype})
    except ValidationError:
        return None


def outputs_of(ready: Prepared) -> Outputs:
    """Execute once; return copies of the outputs. Raises WrongValue."""
    return checked_outputs(ready.outputs(), "outputs()")


def enough_loops(run: CheckedRun, call_s: float = CALL_S) -> int:
    """Return a number of executions that takes `call_s` by the host's clock, however lucky a call is.

    Raises WrongTiming or Failed.
    """
    loops = run.whole(1)
    while True:
        # A single call may be long because of other processes.
        for _ in range(CALLS):
            run(loops)
            if run.calls[-1].wall_s < call_s:
                break
        else:
            return loops
        run.check_growth()
        if loops >= MOST_LOOPS:
            raise Failed(
                f"{loops} executions took {run.calls[-1].wall_s:.3g} s by the host's clock"
            )
        loops *= 2


class Stopwatch:
    """The time that a check has left."""

    def __init__(self, budget_s: float) -> None:
        self._end = time.monotonic() + budget_s

    @property
    def over(self) -> bool:
        """Whether the budget is spent."""
        return time.monotonic() >= self._end
