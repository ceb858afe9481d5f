"""What all torch devices share: operands on the device, cold and hot input sets, outputs on the host.

A vendor's backend derives from TorchBackend and says how its devices are found, timed and watched.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import cycle, islice, pairwise
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bench import plugins
from bench.backend import Device, Limits, Prepared, TelemetrySampler
from bench.errors import OutOfMemory, Unsupported, one_of
from bench.kernels.base import Kernel, Operand

TORCH_DTYPES: dict[str, torch.dtype] = {
    "float64": torch.float64,
    "float32": torch.float32,
    "tf32": torch.float32,
    "hf32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int8": torch.int8,
    "float8_e4m3": torch.float8_e4m3fn,
}

# A rotation longer than this costs more in Python than it tells about a cache.
MOST_INPUT_SETS = 4096

Tensors = Mapping[str, torch.Tensor]
Step = Callable[[], Tensors]
Mark = Callable[[str], None]


def unmarked(stage: str) -> None:
    """Take no notice of a stage's end."""


def reads_back(implementation: str) -> str:
    """Return why an implementation whose launches depend on the device's values makes no graph."""
    return f"{implementation} reads back which rows each expert has; a graph cannot record that"


class TorchImplementation(Protocol):
    """One way to compute a kernel with torch; found through the group `bench.implementations`.

    One that compiles or tunes at the first execution says so by `compiles = True`; that time is then
    taken apart from all others.

    One whose class says `staged = True` takes a third argument in `build`, and calls it with a
    stage's name whenever a part of that stage has ended.
    """

    api: ClassVar[str]  # "torch"
    kernel: ClassVar[str]
    name: ClassVar[str]

    def preference(self, device_type: str) -> int | None:
        """Return its rank on torch's devices of a type, None where it is not for them at all.

        Of those that can compute a case, the highest is `best`.
        """

    def unsupported(self, case: Any, device: torch.device) -> str | None:
        """Return why this implementation cannot compute the case, or None."""

    def build(self, case: Any, operands: Tensors) -> Step:
        """Return a function that computes the case once; allocates what it needs beforehand."""


class TorchBackend(ABC):
    """The part of the backend contract that is the same for every torch device."""

    name: ClassVar[str]
    priority: ClassVar[int]
    device_type: ClassVar[str]  # as torch calls it: cpu, cuda, npu

    @abstractmethod
    def torch_device(self, device: Device) -> torch.device:
        """Return torch's name for the device."""

    @abstractmethod
    def free_bytes(self, device: Device) -> int | None:
        """Return the memory that can still be allocated, None where unknown."""

    @abstractmethod
    def timer(self, device: Device) -> Timer:
        """Return the device's way to time a sequence of steps."""

    @abstractmethod
    def unavailable(self) -> str | None:
        """Return why this backend cannot be used here, or None."""

    @abstractmethod
    def devices(self) -> list[Device]:
        """Return the devices present."""

    @abstractmethod
    def dtype_unsupported(self, dtype: str, device: Device) -> str | None:
        """Return why the device does not compute in a dtype, or None."""

    @abstractmethod
    def limits(self, device: Device, dtype: str) -> Limits:
        """Return the device's peaks and ceilings."""

    @abstractmethod
    def telemetry(self, device: Device) -> TelemetrySampler:
        """Return a sampler of the device's sensors."""

    def versions(self) -> dict[str, str]:
        """Return torch's version."""
        return {"torch": torch.__version__}

    def implementations(self, kernel: str) -> list[str]:
        """Return the torch implementations of a kernel, best first."""
        found = [(one.preference(self.device_type), one.name) for one in _implementations(kernel)]
        offered = [(rank, name) for rank, name in found if rank is not None]
        return [name for _, name in sorted(offered, key=lambda ranked: -ranked[0])]

    def unsupported(self, case: Kernel, implementation: str, device: Device) -> str | None:
        """Return why a case cannot run on the device by that implementation, or None."""
        return self.dtype_unsupported(case.dtype, device) or _implementation(
            case.name, implementation
        ).unsupported(case, self.torch_device(device))

    def prepare(
        self, case: Kernel, implementation: str, device: Device, inputs: Mapping[str, Operand]
    ) -> Prepared:
        """Put the inputs on the device, as often as a cold run needs, and build the steps."""
        with self.translating():
            return self._prepare(case, implementation, device, inputs)

    def translated(self, error: Exception) -> Exception:
        """Return the exception that an error of the vendor's runtime stands for, or the error."""
        return error

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Raise what errors in a block mean in the harness's terms."""
        try:
            yield
        except Exception as error:
            meant = self.translated(error)
            if meant is error:
                raise
            raise meant from error

    def _prepare(
        self, case: Kernel, implementation: str, device: Device, inputs: Mapping[str, Operand]
    ) -> TorchPrepared:
        found = _implementation(case.name, implementation)
        place = self.torch_device(device)
        size = case.memory_bytes()
        free = self.free_bytes(device)
        if free is not None and size > free:
            raise OutOfMemory(
                f"the case needs {size / 2**30:.1f} GiB, the device has {free / 2**30:.1f} GiB free"
            )
        sets = 1
        if case.cache == "cold":
            sets = input_sets(size, device.cache_bytes, free)
        first = {name: to_device(operand, place) for name, operand in inputs.items()}
        copies = [
            first,
            *({name: tensor.clone() for name, tensor in first.items()} for _ in range(sets - 1)),
        ]
        timer = self.timer(device)
        clock = None
        build = found.build
        if getattr(found, "staged", False) and not case.backward and not case.graph:
            clock = StageClock(timer)
            build = partial(found.build, mark=clock)  # type: ignore[call-arg]
        with torch.inference_mode(not case.backward):
            steps = [build(case, operands) for operands in copies]
            compile_s = first_seconds(steps[0]) if getattr(found, "compiles", False) else None
            if case.graph:
                steps = self.recorded(steps, device)
        timing = "graph" if case.graph else timer.timing
        return TorchPrepared(
            steps,
            timer,
            timing,
            sets * size if sets > 1 else 0,
            clock=clock,
            gradients=case.backward,
            translating=self.translating,
            compile_s=compile_s,
        )

    def recorded(self, steps: list[Step], device: Device) -> list[Step]:
        """Return steps that replay what each launches as one graph; outputs stay in place."""
        raise Unsupported(f"{self.name} devices have no graphs to launch a case with")


def first_seconds(step: Step) -> float:
    """Return the host's time for a first execution, which is nearly all compiling and tuning."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def input_sets(size_bytes: int, cache_bytes: int | None, free_bytes: int | None) -> int:
    """Return how many sets of operands a cold run rotates through.

    Twice the last-level cache has to pass between two uses of the same memory; a quarter of the free
    memory at most is spent on it. A set larger than that by itself needs no company.
    """
    if not cache_bytes:
        return 1
    wanted = -(-2 * cache_bytes // size_bytes)
    affordable = free_bytes // 4 // size_bytes if free_bytes is not None else wanted
    return max(1, min(wanted, affordable, MOST_INPUT_SETS))


def to_device(operand: Operand, device: torch.device) -> torch.Tensor:
    """Return an operand on the device in its dtype; exact, since values were rounded on the host."""
    dtype = TORCH_DTYPES.get(operand.dtype)
    if dtype is None:
        return torch.from_numpy(operand.array).to(device)
    return torch.from_numpy(operand.array).to(dtype).to(device)


class Timer(Protocol):
    """Times steps by a device's own clock."""

    timing: str  # host or events

    def __call__(self, steps: list[Step]) -> float:
        """Run the steps in order; return the seconds that the device took."""

    def now(self) -> Any:
        """Return a mark of where the device is in the step that runs."""

    def between(self, start: Any, end: Any) -> float:
        """Return the seconds between two marks of steps that are done."""


class StageClock:
    """Adds up how long a step is in each of its stages; off but for a profile."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._on = False
        self._marks: list[tuple[str | None, Any]] = []

    def __call__(self, stage: str) -> None:
        """Note that a part of a stage has ended."""
        if self._on:
            self._marks.append((stage, self._timer.now()))

    def profile(self, steps: list[Step]) -> dict[str, float]:
        """Run the steps; return the seconds that all of them spent in each stage."""

        def started(step: Step) -> Step:
            def run() -> Tensors:
                self._marks.append((None, self._timer.now()))
                return step()

            return run

        self._marks.clear()
        self._on = True
        try:
            self._timer([started(step) for step in steps])
        finally:
            self._on = False
        seconds: dict[str, float] = {}
        for (_, start), (stage, end) in pairwise(self._marks):
            if stage is not None:
                seconds[stage] = seconds.get(stage, 0.0) + self._timer.between(start, end)
        return seconds


class TorchPrepared:
    """A case on a torch device: as many steps as input sets, taken in turn."""

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
    ) -> None:
        self._steps = steps
        self._clock = clock
        self._inference = not gradients
        self._turn = cycle(steps)
        self._timer = timer
        self.timing = timing
        self.flush_bytes = flush_bytes
        self._translating = translating
        self.compile_s = compile_s

    def run(self, loops: int) -> float:
        """Execute `loops` times, each time on the next input set; return the device's seconds."""
        with self._translating(), torch.inference_mode(self._inference):
            return self._timer(list(islice(self._turn, loops)))

    def outputs(self) -> dict[str, NDArray[Any]]:
        """Execute once on the first input set and return its outputs on the host."""
        with self._translating(), torch.inference_mode(self._inference):
            return {name: to_host(tensor) for name, tensor in self._steps[0]().items()}

    def stages(self, loops: int) -> dict[str, float] | None:
        """Execute `loops` times; return the seconds in each stage, None where there are none."""
        if self._clock is None:
            return None
        with self._translating(), torch.inference_mode(self._inference):
            return self._clock.profile(list(islice(self._turn, loops)))

    def close(self) -> None:
        """Drop every tensor of the case."""
        self._steps = []
        self._turn = cycle(())


def to_host(tensor: torch.Tensor) -> NDArray[Any]:
    """Return a tensor as a numpy array of a type that holds its values exactly."""
    tensor = tensor.detach()
    if tensor.dtype in (torch.bfloat16, torch.float16, torch.float8_e4m3fn):
        tensor = tensor.cpu().to(torch.float32)
    array: NDArray[Any] = np.asarray(tensor.cpu().numpy())
    return array


def _implementations(kernel: str) -> list[TorchImplementation]:
    loaded = plugins.load_all(plugins.IMPLEMENTATIONS).loaded.values()
    return [found() for found in loaded if found.api == "torch" and found.kernel == kernel]


def _implementation(kernel: str, name: str) -> TorchImplementation:
    offered = {found.name: found for found in _implementations(kernel)}
    if name not in offered:
        raise Unsupported(f"no implementation {name!r} of {kernel}{one_of(name, offered)}")
    return offered[name]
