"""A case on a torch device: its executions timed as a whole and by stages, its outputs on the host."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import cycle, islice, pairwise
from typing import Any, Protocol

import torch
from numpy.typing import NDArray

from backends.torch.implementation import Step, Tensors
from backends.torch.operands import spoil, to_host

# Whether a case is host-bound shows in its last calls: those before were calibration and warm-up.
LAST_CALLS = 32


class Timer(Protocol):
    """Times steps by a device's own clock."""

    timing: str  # host or events

    def __call__(self, steps: list[Step]) -> float:
        """Run the steps in order; return the seconds that the device took."""

    def now(self) -> Any:
        """Take a timestamp of the device within the step that runs."""

    def between(self, start: Any, end: Any) -> float:
        """Compute the seconds between two timestamps of completed steps."""

    # A timer may have `host_bound`: whether the device waited for the host in the last call.


class StageClock:
    """Adds up how long a step spends in each of its stages; active only in `profile`."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._on = False
        self._ends: list[tuple[str | None, Any]] = []

    def __call__(self, stage: str) -> None:
        """Record the end of a part of a stage."""
        if self._on:
            self._ends.append((stage, self._timer.now()))

    def profile(self, steps: list[Step]) -> dict[str, float]:
        """Run the steps; return the seconds that all of them spent in each stage."""

        def started(step: Step) -> Step:
            def run() -> Tensors:
                self._ends.append((None, self._timer.now()))
                return step()

            return run

        self._ends.clear()
        self._on = True
        try:
            self._timer([started(step) for step in steps])
        finally:
            self._on = False
        seconds: dict[str, float] = {}
        for (_, start), (stage, end) in pairwise(self._ends):
            if stage is not None:
                seconds[stage] = seconds.get(stage, 0.0) + self._timer.between(start, end)
        return seconds


class TorchPrepared:
    """A case on a torch device: steps taken in turn, each one execution, or `multiple` of them."""

    def __init__(
        self,
        steps: list[Step],
        timer: Timer,
        timing: str,
        flush_bytes: int,
        *,
        clock: StageClock | None = None,
        gradients: bool = False,
        translating: Callable[[], AbstractContextManager[None]] = nullcontext,
        compile_s: float | None = None,
        launch_s: float | None = None,
        multiple: int = 1,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self._release = release
        self._last: Tensors = {}
        self._steps = steps
        self._clock = clock
        self._inference = not gradients
        self._turn = cycle(steps)
        self._timer = timer
        self.timing = timing
        self.flush_bytes = flush_bytes
        self._translating = translating
        self.compile_s = compile_s
        self.launch_s = launch_s
        self.multiple = multiple
        self._host_bound: deque[bool] = deque(maxlen=LAST_CALLS)

    @property
    def host_bound(self) -> bool | None:
        """Whether the device waited for the host in most of the last calls of `run`; None if unknown."""
        calls = self._host_bound
        return 2 * sum(calls) > len(calls) if calls else None

    def run(self, loops: int) -> float:
        """Execute `loops` times, each time on the next input set; return the device's seconds."""
        self._last = {}
        with self._translating(), torch.inference_mode(self._inference):
            steps = list(islice(self._turn, loops // self.multiple))
            steps[-1] = partial(self._executed, steps[-1])
            seconds = self._timer(steps)
        host_bound = getattr(self._timer, "host_bound", None)
        if host_bound is not None:
            self._host_bound.append(host_bound)
        return seconds

    def outputs(self) -> dict[str, NDArray[Any]]:
        """Execute once, or `multiple` times, and return the outputs on the host."""
        self._last = {}
        with self._translating(), torch.inference_mode(self._inference):
            outputs = self._executed(self._steps[0])
            return {name: to_host(tensor) for name, tensor in outputs.items()}

    def take_outputs(self) -> dict[str, NDArray[Any]]:
        """Return the outputs of the last execution on the host, then spoil them on the device."""
        left, self._last = self._last, {}
        with self._translating(), torch.no_grad(), torch.inference_mode(self._inference):
            taken = {name: to_host(tensor).copy() for name, tensor in left.items()}
            for tensor in left.values():
                spoil(tensor)
        return taken

    def _executed(self, step: Step) -> Tensors:
        """Execute a step and keep its outputs for `take_outputs`."""
        self._last = step()
        return self._last

    def stages(self, loops: int) -> dict[str, float] | None:
        """Execute `loops` times; return the seconds in each stage, None where there are none."""
        if self._clock is None:
            return None
        with self._translating(), torch.inference_mode(self._inference):
            return self._clock.profile(list(islice(self._turn, loops)))

    def close(self) -> None:
        """Release every tensor of the case, and the memory behind them."""
        self._steps = []
        self._turn = cycle(())
        self._last = {}
        self._release()


def first_seconds(step: Step) -> float:
    """Time a first execution on the host: nearly all of it is compiling and tuning."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
