"""What the backends of all torch devices share; a vendor's backend derives from TorchBackend.

The vendor's part enumerates its devices, times them, and reads their sensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar, cast

import torch

from backends.torch.group import joined
from backends.torch.implementation import Step, find, offered
from backends.torch.operands import TouchedMemory, input_sets, to_device
from backends.torch.prepared import StageClock, Timer, TorchPrepared, first_seconds
from backends.torch.ranks import GroupImplementation, Leader, Member, follow
from bench.backend import Device, Limits, Place, Prepared, TelemetrySampler
from bench.errors import OutOfMemory, Unsupported
from bench.kernels.base import Kernel, Operand

# The reference product takes a quarter of a millisecond on two cores; several of them are timed at once.
REFERENCE_SIZE = 384
REFERENCE_LOOPS = 6

# What computes besides torch, by the names of the packages; cuBLAS comes with torch's wheels.
LIBRARIES = (
    *("nvidia-cublas", "nvidia-cublas-cu12", "triton", "pytorch-triton-rocm"),
    *("transformers", "flashinfer-python", "vllm"),
)


class TorchBackend(ABC):
    """The part of the backend contract that is the same for every torch device."""

    name: ClassVar[str]
    priority: ClassVar[int]
    _references: ClassVar[dict[torch.device, Step]] = {}
    device_type: ClassVar[str]  # as torch calls it: cpu, cuda, npu
    process_group: ClassVar[str | None] = None  # torch.distributed's backend, such as nccl
    ranks_share_devices: ClassVar[bool] = False

    @abstractmethod
    def torch_device(self, device: Device) -> torch.device:
        """Name the device as torch does."""

    @abstractmethod
    def free_bytes(self, device: Device) -> int | None:
        """Ask how much memory can still be allocated, None where unknown."""

    @abstractmethod
    def timer(self, device: Device) -> Timer:
        """Make a timer for sequences of steps on the device."""

    @abstractmethod
    def unavailable(self) -> str | None:
        """Say why this backend cannot be used here; None if it can."""

    @abstractmethod
    def devices(self) -> list[Device]:
        """List the devices present."""

    @abstractmethod
    def dtype_unsupported(self, dtype: str, device: Device) -> str | None:
        """Say why the device does not compute in a dtype; None if it does."""

    @abstractmethod
    def limits(self, device: Device, dtype: str) -> Limits:
        """Look up the device's peaks and ceilings."""

    @abstractmethod
    def telemetry(self, device: Device) -> TelemetrySampler:
        """Make a sampler of the device's sensors."""

    def versions(self) -> dict[str, str]:
        """List the versions of the libraries that compute, as far as they are installed."""
        versions = {"torch": str(torch.__version__)}
        for name in LIBRARIES:
            with suppress(PackageNotFoundError):
                versions[name] = version(name)
        return versions

    def implementations(self, kernel: str) -> list[str]:
        """List the torch implementations of a kernel, preferred first."""
        return offered(kernel, self.device_type)

    def unsupported(self, case: Kernel, implementation: str, device: Device) -> str | None:
        """Say why a case cannot run on the device by that implementation; None if it can."""
        return self.dtype_unsupported(case.dtype, device) or find(
            case.name, implementation
        ).unsupported(case, self.torch_device(device))

    def prepare(
        self, case: Kernel, implementation: str, device: Device, inputs: Mapping[str, Operand]
    ) -> Prepared:
        """Copy the inputs to the device, as many sets as a cold run needs, and build the steps."""
        with self.translating():
            return self._prepare(case, implementation, device, inputs)

    def lead(
        self, case: Kernel, implementation: str, device: Device, place: Place, seed: int
    ) -> Leader:
        """Allocate rank 0's part of a case, after joining the other ranks."""
        with self.translating():
            return Leader(self._member(case, implementation, device, place, seed))

    def follow(
        self, case: Kernel, implementation: str, device: Device, place: Place, seed: int
    ) -> None:
        """Allocate another rank's part of a case, and follow rank 0 until it closes the case."""
        with self.translating():
            follow(self._member(case, implementation, device, place, seed))
            self.release(device)

    def _member(
        self, case: Kernel, implementation: str, device: Device, place: Place, seed: int
    ) -> Member:
        if self.process_group is None:
            raise Unsupported(f"backend {self.name} names no process group of torch.distributed")
        target = self.torch_device(device)
        if target.index is not None:
            torch.get_device_module(target).set_device(target)
        self._check_memory(case.memory_bytes(), device)
        group = joined(place, self.process_group)
        chosen = cast(GroupImplementation, find(case.name, implementation))
        with torch.inference_mode(), TouchedMemory():
            steps = chosen.build(case, group, target, seed)
        return Member(group, steps, self.group_timer(device))

    def group_timer(self, device: Device) -> Timer:
        """Make a timer for what several ranks execute: by default the same as for one."""
        return self.timer(device)

    def translated(self, error: Exception) -> Exception:
        """Translate an error of the vendor's runtime to the harness's exceptions; others stay as they are."""
        return error

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Translate the errors of a block to the harness's exceptions."""
        try:
            yield
        except Exception as error:
            translated = self.translated(error)
            if translated is error:
                raise
            raise translated from error

    def _prepare(
        self, case: Kernel, implementation: str, device: Device, inputs: Mapping[str, Operand]
    ) -> TorchPrepared:
        chosen = find(case.name, implementation)
        target = self.torch_device(device)
        size = case.memory_bytes()
        free = self._check_memory(size, device)
        sets = 1
        if case.cache == "cold":
            sets = input_sets(size, device.cache_bytes, free)
        first = {name: to_device(operand, target) for name, operand in inputs.items()}
        copies = [
            first,
            *({name: tensor.clone() for name, tensor in first.items()} for _ in range(sets - 1)),
        ]
        timer = self.timer(device)
        clock = None
        build = chosen.build
        if getattr(chosen, "staged", False) and not case.backward and not case.graph:
            clock = StageClock(timer)
            build = partial(chosen.build, mark=clock)  # type: ignore[call-arg]
        with torch.inference_mode(not case.backward), TouchedMemory():
            # Only the step decides which operands stay: a new layout of the experts replaces the old one.
            del first
            steps = [build(case, copies.pop(0)) for _ in range(sets)]
            compile_s = first_seconds(steps[0]) if getattr(chosen, "compiles", False) else None
            self.examine(case, steps[0])
            launch_s = None
            if case.graph:
                steps = [self.recorded(steps, device)]
                launch_s = self.graph_launch_seconds(device, sets)
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
            launch_s=launch_s,
            multiple=sets if case.graph else 1,
            release=partial(self.release, device),
        )

    def _check_memory(self, size: int, device: Device) -> int | None:
        """Ask for the free bytes, None where unknown. Raises OutOfMemory for fewer than `size`."""
        free = self.free_bytes(device)
        if free is not None and size > free:
            raise OutOfMemory(
                f"the case needs {size / 2**30:.1f} GiB, the device has {free / 2**30:.1f} GiB free"
            )
        return free

    def reference_seconds(self, device: Device) -> float:
        """Time a float32 product that fits into the caches, the best of three batches."""
        target = self.torch_device(device)
        if target not in self._references:
            self._references[target] = _reference_step(target)
        steps, timer = [self._references[target]] * REFERENCE_LOOPS, self.timer(device)
        with self.translating(), torch.inference_mode():
            return min(timer(steps) for _ in range(3)) / len(steps)

    def release(self, device: Device) -> None:
        """Free the memory that torch keeps for later, so that the next case gets other memory."""
        empty_cache = getattr(
            torch.get_device_module(self.torch_device(device)), "empty_cache", None
        )
        if empty_cache is not None:
            empty_cache()

    def examine(self, case: Kernel, step: Step) -> None:  # noqa: B027  # most have nothing to look for
        """Look at what a step does before it is recorded or timed. Raises Unsupported."""

    def recorded(self, steps: list[Step], device: Device) -> Step:
        """Record all steps as one graph and return its replay; outputs stay in place."""
        raise Unsupported(f"{self.name} devices have no graphs; set graph: false")

    def graph_launch_seconds(self, device: Device, executions: int) -> float | None:
        """Measure the least time of an execution in a graph of so many, None where unknown."""
        return None


def _reference_step(target: torch.device) -> Step:
    """Allocate the reference product; the first execution is not timed."""
    with torch.inference_mode():
        a = torch.full((REFERENCE_SIZE, REFERENCE_SIZE), 0.5, device=target)
        c = torch.empty_like(a)

        def step() -> dict[str, torch.Tensor]:
            torch.mm(a, a, out=c)
            return {"c": c}

        step()
    return step
