"""A mixture-of-experts layer for processors with AVX512-BF16: two calls for all experts.

oneDNN's products, one call an expert, leave a third of the memory's rate unused at a few rows an
expert; the products of cpu_moe_kernel.c stream the weights of all experts without a pause, and apply
the activation before anything is stored.
"""

from __future__ import annotations

import ctypes
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.cpu_memory import in_huge_pages
from backends.cpu_moe import Linear
from backends.cpu_native import native_library, native_missing
from backends.cpu_topology import cpu_topology
from backends.torch.implementation import Mark, Step, Tensors, unmarked
from backends.torch.moe.arrivals import arrivals
from backends.torch.moe.gate import choose
from backends.torch.moe.loop import activate
from backends.torch.moe.parts import kept_weight, sort_by_expert, weighted_sum
from bench.kernels.moe.layer import MoeLayer

# The numbers that cpu_moe_kernel.c gives its activations.
PLAIN = 0
ACTIVATIONS = {"silu": 1, "gelu": 2, "relu2": 3, "swigluoai": 4}


def blocks_of_16(matrices: Tensor) -> Tensor:
    """Return [groups, n, k] as [groups, ⌈n / 16⌉, k / 2, 16, 2]; missing rows are zeros."""
    groups, n, k = matrices.shape
    padded = F.pad(matrices, (0, 0, 0, -n % 16))
    return padded.view(groups, -1, 16, k // 2, 2).transpose(2, 3)


class GroupedLinear:
    """Rows of each group times its matrix: x · weightᵀ, or act(x · gateᵀ) ∘ (x · upᵀ)."""

    def __init__(self, weight: Tensor, gate: Tensor | None = None, activation: str = "") -> None:
        """Lay out weight (and gate) [groups, n, k] as the kernel reads them."""
        self._product = native_library().grouped_product
        self._activation = PLAIN if gate is None else ACTIVATIONS[activation]
        blocks = blocks_of_16(weight)
        if gate is not None:
            pairs = torch.stack([blocks_of_16(gate), blocks], dim=2)
        else:
            odd = blocks.shape[1] % 2
            pairs = F.pad(blocks, (0, 0, 0, 0, 0, 0, 0, odd)).unflatten(1, (-1, 2))
        self._weights = in_huge_pages(pairs.transpose(2, 3))

    def __call__(self, x: Tensor, starts: Tensor, out: Tensor) -> Tensor:
        """Write the products of x [rows, k] into out [rows, n]; starts [groups + 1] int64."""
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._product(
            pointer(x.data_ptr()),
            number(x.shape[1]),
            pointer(starts.data_ptr()),
            number(len(starts) - 1),
            pointer(self._weights.data_ptr()),
            number(self._weights.shape[1]),
            pointer(out.data_ptr()),
            number(out.shape[1]),
            ctypes.c_int(self._activation),
        )
        return out


class Mlps:
    """The experts, or the shared ones as a single one, with room for the rows between products."""

    def __init__(
        self, case: MoeLayer, up: Tensor, down: Tensor, gate: Tensor | None, rows: int
    ) -> None:
        self._case = case
        self._first = GroupedLinear(up, gate, case.activation)
        self._down = GroupedLinear(down)
        self._between = torch.empty((rows, up.shape[1]), dtype=up.dtype)

    def __call__(self, x: Tensor, starts: Tensor, out: Tensor) -> Tensor:
        """Write the outputs for x [rows, width] into out [rows, width]."""
        between = self._first(x, starts, self._between[: len(x)])
        if not self._case.gated:
            between = activate(self._case, between, None)
        return self._down(between, starts, out)


class Fused:
    """Sort rows by expert, two calls for all products and activations, a weighted sum a token."""

    staged: ClassVar[bool] = True

    def before(self, device_type: str) -> str | None:
        """Step behind `loop` where oneDNN, which `packed` calls, has AMX; docs/moe.md has the figures."""
        return "grouped" if "amx_bf16" in cpu_topology().identity.flags else None

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why the layer cannot be computed here, or None."""
        if device.type != "cpu":
            return "fused is for processors"
        if case.backward:
            return "fused serves the forward pass only"
        if case.dtype != "bfloat16":
            return "fused has a bfloat16 path only"
        widths = (case.width, case.intermediate, case.shared_width)
        if any(width % 2 for width in widths) or (case.shared_width and case.hidden % 2):
            return "fused multiplies two values at a time: widths have to be even"
        return native_missing()

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Return the layer; the weights are kept as the kernel reads them."""
        kept = {
            name: operands[name]
            for name in ("x", "router", "planted", "correction_bias", "arrivals", "arrived_experts")
            if name in operands
        }
        x = kept["x"]
        rows = len(kept["arrivals"]) if case.ragged else case.tokens * case.top_k
        experts = Mlps(case, operands["up"], operands["down"], operands.get("gate"), rows)
        shared = None
        if case.shared_width:
            up, down = operands["shared_up"][None], operands["shared_down"][None]
            gate = operands["shared_gate"][None] if case.gated else None
            shared = Mlps(case, up, down, gate, case.tokens)
        latent = [
            Linear(operands[name], case.tokens)
            for name in ("latent_in", "latent_out")
            if case.latent
        ]
        gathered = torch.empty((rows, case.width), dtype=x.dtype)
        served = torch.zeros_like(gathered)
        every_token = torch.tensor([0, case.tokens])
        from_shared = torch.empty_like(x)
        bounds = torch.arange(case.local_experts + 1)

        def step() -> Tensors:
            weight, chosen = choose(case, kept)
            mark("gate")
            z = latent[0](x) if case.latent else x
            arrived = arrivals(case, kept, weight, chosen)
            order = sort_by_expert(arrived.local, case.capacity)
            starts = torch.searchsorted(order.owners, bounds)
            mine = gathered[: len(order.owners)]
            torch.index_select(z, 0, arrived.tokens(order.assignments), out=mine)
            mark("dispatch")
            experts(mine, starts, served)
            mark("experts")
            weight = kept_weight(arrived.weight, arrived.local, case.capacity)
            y = arrived.add_up(weighted_sum(served, weight, order.places), case.tokens, z)
            if case.latent:
                y = latent[1](y)
            mark("combine")
            if shared is not None:
                y = y + shared(x, every_token, from_shared)
                mark("shared")
            return {"y": y}

        return step
