"""A mixture-of-experts layer whose routed experts are one call into another project's library.

The gate, latent projections and shared experts around it are those of the harness's own layers. The library
is imported when a layer is built, and need not be installed.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor

from backends.torch.implementation import Mark, Step, Tensors, unmarked
from backends.torch.moe.arrivals import Arrivals
from backends.torch.moe.layer import FloatLayer
from bench.kernels.moe.layer import MoeLayer

# From rows [rows, width], weights [rows, slots] float32 and numbers of local experts [rows, slots] int32
# to the weighted sums of the experts' outputs [rows, width]; rows are tokens, or single assignments.
Experts = Callable[[Tensor, Tensor, Tensor], Tensor]


class LibraryExperts(ABC):
    """What the adapters of libraries share; each library has a file of its own."""

    compiles: ClassVar[bool] = True  # or tunes its kernels
    staged: ClassVar[bool] = True
    package: ClassVar[str]  # as it is imported
    project: ClassVar[str]  # as it is installed
    capability: ClassVar[tuple[int, int]]  # the lowest that it has kernels for

    @abstractmethod
    def experts(self, case: MoeLayer, gate: Tensor, up: Tensor, down: Tensor) -> Experts:
        """Make the call, with weights laid out as the library reads them.

        `gate` and `up` are [experts, intermediate, width], `down` [experts, width, intermediate].
        """

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse what the library does not compute here; imports nothing."""
        if find_spec(self.package) is None:
            return f"{self.project} is not installed; pip install {self.project}"
        if case.backward:
            return f"{self.package} computes the forward pass only"
        if case.capacity is not None:
            return f"{self.package} drops no tokens"
        if case.dtype not in ("float16", "bfloat16"):
            return f"{self.package} takes float16 and bfloat16 here, not {case.dtype}"
        if not case.gated or case.activation != "silu":
            return f"{self.package} takes gated experts with silu here"
        if case.width % 8 or case.intermediate % 8:
            return f"{self.package} takes widths that are multiples of 8 (16 bytes)"
        if torch.version.hip:
            return f"{self.package} is tested with CUDA only here"
        if torch.cuda.get_device_capability(device) < self.capability:
            return "{} needs compute capability {}.{}".format(self.package, *self.capability)
        return None

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Lay the weights out beforehand, as a model does when it is loaded."""
        with unchanged_settings():
            experts = self.experts(case, operands["gate"], operands["up"], operands["down"])
        layer = LibraryLayer(case, operands, experts)
        return lambda: {"y": layer(mark)}


@contextmanager
def unchanged_settings() -> Iterator[None]:
    """Undo what a block does to torch.compile's settings, in torch and in the environment.

    vLLM changes them when it is imported (vllm/env_override.py), and the same process measures other cases.
    """
    config: Any = import_module("torch._inductor.config")
    before = config.get_config_copy()
    variables = {name: value for name, value in os.environ.items() if name.startswith("TORCH")}
    try:
        yield
    finally:
        config.load_config(before)
        for name in [name for name in os.environ if name.startswith("TORCH")]:
            del os.environ[name]
        os.environ.update(variables)


# What `Experts` takes.
Dispatched = tuple[Tensor, Tensor, Tensor]


class LibraryLayer(FloatLayer[Dispatched]):
    """The layer around a call that sorts, multiplies and adds up by itself."""

    combines: ClassVar[bool] = False

    def __init__(self, case: MoeLayer, operands: Tensors, experts: Experts) -> None:
        super().__init__(case, operands)
        self._experts = experts

    def dispatch(self, z: Tensor, arrived: Arrivals) -> Dispatched:
        """Convert the experts' numbers to int32; the library sorts by itself."""
        return arrived.rows(z), arrived.weight, arrived.local.to(torch.int32)

    def experts(self, dispatched: Dispatched, mark: Mark) -> Tensor:
        """Call the library: the tokens' sums [tokens, width]."""
        return self._experts(*dispatched)

    def combine(self, rows: Tensor, dispatched: Dispatched) -> Tensor:
        """Return the sums: the library has added up the rows."""
        return rows
