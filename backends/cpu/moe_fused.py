"""A mixture-of-experts layer for processors with AVX512-BF16: two calls for all experts.

oneDNN's products, one call per expert, leave a third of the memory bandwidth unused at few rows per expert.
The products of moe_kernel.c stream the weights of all experts without a pause, and apply the activation
before anything is stored.
"""

from __future__ import annotations

import ctypes
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.cpu.huge_pages import in_huge_pages
from backends.cpu.moe import ProcessorLayer, SortedRows
from backends.cpu.native import native_library, native_missing
from backends.cpu.topology import cpu_topology
from backends.torch.implementation import Mark, Step, Tensors, unmarked
from backends.torch.moe.loop import activate
from bench.kernels.moe.layer import MoeLayer

# The activations' numbers in moe_kernel.c.
PLAIN = 0
ACTIVATIONS = {"silu": 1, "gelu": 2, "relu2": 3, "swigluoai": 4}


def blocks_of_16(matrices: Tensor) -> Tensor:
    """Lay [groups, n, k] out as [groups, ⌈n / 16⌉, k / 2, 16, 2]; missing rows are zeros."""
    groups, n, k = matrices.shape
    padded = F.pad(matrices, (0, 0, 0, -n % 16))
    return padded.view(groups, -1, 16, k // 2, 2).transpose(2, 3)


class GroupedLinear:
    """The rows of each group times its matrix: x · weightᵀ, or act(x · gateᵀ) ∘ (x · weightᵀ)."""

    def __init__(self, weight: Tensor, gate: Tensor | None = None, activation: str = "") -> None:
        """Lay weight (and gate) [groups, n, k] out as the kernel reads them."""
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


class GroupedMlp:
    """The experts, or the shared ones as a single group, with memory for the rows between the products."""

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


class NativeLayer(ProcessorLayer):
    """All experts in two calls, and the shared ones in two more."""

    def __init__(self, case: MoeLayer, operands: Tensors) -> None:
        super().__init__(case, operands)
        self._experts = GroupedMlp(
            case, operands["up"], operands["down"], operands.get("gate"), len(self.outputs)
        )
        if case.shared_width:
            up, down = operands["shared_up"][None], operands["shared_down"][None]
            gate = operands["shared_gate"][None] if case.gated else None
            self._shared = GroupedMlp(case, up, down, gate, case.tokens)
            self._every_token = torch.tensor([0, case.tokens])
            self._from_shared = torch.empty_like(operands["x"])

    def experts(self, dispatched: SortedRows, mark: Mark) -> Tensor:
        """Call the kernel, which applies the activation between its products."""
        return self._experts(dispatched.rows, dispatched.starts, self.outputs)

    def shared(self, tokens: Tensor) -> Tensor:
        """Compute the shared experts as one group."""
        return self._shared(tokens, self._every_token, self._from_shared)


class Fused:
    """Sort rows by expert, two calls for all products and activations, and a weighted sum per token."""

    staged: ClassVar[bool] = True

    def before(self, device_type: str) -> str | None:
        """Go behind `loop` where oneDNN, which `packed` calls, has AMX; docs/moe.md has the figures."""
        return "grouped" if "amx_bf16" in cpu_topology().identity.flags else None

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse other devices, dtypes, training and odd widths, and machines that cannot have the kernel."""
        if device.type != "cpu":
            return "fused computes on processors only"
        if case.backward:
            return "fused computes the forward pass only"
        if case.dtype != "bfloat16":
            return f"fused takes bfloat16 only, not {case.dtype}"
        widths = (case.width, case.intermediate, case.shared_width)
        if any(width % 2 for width in widths) or (case.shared_width and case.hidden % 2):
            return "fused multiplies two values at a time: widths have to be even"
        return native_missing()

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Lay the weights out as the kernel reads them."""
        layer = NativeLayer(case, operands)
        return lambda: {"y": layer(mark)}
