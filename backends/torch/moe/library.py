"""A mixture-of-experts layer whose routed experts are one call into somebody's library.

The gate, latent projections and shared experts around it are the ones that our own layers have; the
library is imported when a layer is built, and need not be installed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.util import find_spec
from typing import ClassVar

import torch
from torch import Tensor

from backends.torch.device import Mark, Step, Tensors, unmarked
from backends.torch.moe.gate import choose
from backends.torch.moe.loop import shared_mlp
from bench.kernels.moe_layer import MoeLayer

# From rows [tokens, width], weights [tokens, top_k] float32 and numbers of local experts [tokens, top_k]
# int32 to the weighted sums of what the experts make of them [tokens, width].
Experts = Callable[[Tensor, Tensor, Tensor], Tensor]


class LibraryExperts(ABC):
    """What the adapters of libraries share; one is a file of its own."""

    api: ClassVar[str] = "torch"
    kernel: ClassVar[str] = "moe_layer"
    name: ClassVar[str]
    compiles: ClassVar[bool] = True  # or tunes, or builds its kernels
    staged: ClassVar[bool] = True
    package: ClassVar[str]  # as it is imported
    project: ClassVar[str]  # as it is installed
    capability: ClassVar[tuple[int, int]]  # the first that it has kernels for

    @abstractmethod
    def experts(self, case: MoeLayer, gate: Tensor, up: Tensor, down: Tensor) -> Experts:
        """Return the call, with weights laid out as the library wants them.

        `gate` and `up` are [experts, intermediate, width], `down` [experts, width, intermediate].
        """

    def preference(self, device_type: str) -> int | None:
        """Rank behind torch's own, against which no library was measured yet; None but on GPUs."""
        return -4 if device_type == "cuda" else None

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why the library does not compute the layer here, or None; imports nothing."""
        if find_spec(self.package) is None:
            return f"{self.project} is not installed; pip install {self.project}"
        if case.backward:
            return f"{self.name} computes the forward pass only"
        if case.capacity is not None:
            return f"{self.name} drops no tokens"
        if case.dtype not in ("float16", "bfloat16"):
            return f"{self.name} takes float16 and bfloat16 here, not {case.dtype}"
        if not case.gated or case.activation != "silu":
            return f"{self.name} takes gated experts with silu here"
        if case.width % 8 or case.intermediate % 8:
            return f"{self.name} takes widths that are multiples of 8 (16 bytes)"
        if torch.version.hip:
            return f"{self.name} is tried with CUDA only here"
        if torch.cuda.get_device_capability(device) < self.capability:
            return "{} needs compute capability {}.{}".format(self.name, *self.capability)
        return None

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Return the layer; weights are laid out beforehand, as when a model is loaded."""
        x = operands["x"]
        experts = self.experts(case, operands["gate"], operands["up"], operands["down"])

        def step() -> Tensors:
            weight, chosen = choose(case, operands)
            local = (chosen % case.local_experts).to(torch.int32)
            mark("gate")
            z = x @ operands["latent_in"].T if case.latent else x
            mark("dispatch")
            y = experts(z, weight, local)
            mark("experts")
            if case.latent:
                y = y @ operands["latent_out"].T
                mark("combine")
            if case.shared_width:
                y = y + shared_mlp(case, x, operands)
                mark("shared")
            return {"y": y}

        return step
