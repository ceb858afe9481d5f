"""A mixture-of-experts layer in torch, expert by expert: the plain one, to be read first."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.torch.gradients import with_gradients
from backends.torch.implementation import Mark, Step, Tensors, reads_back, unmarked
from backends.torch.moe.arrivals import arrivals
from backends.torch.moe.gate import choose, sum_dtype
from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.math import SWIGLUOAI_ALPHA, SWIGLUOAI_LIMIT


def activate(case: MoeLayer, up: Tensor, gate: Tensor | None) -> Tensor:
    """Compute act(gate) ∘ up, or act(up) where experts have no gate matrix."""
    if case.activation == "swigluoai":
        assert gate is not None
        gate = gate.clamp(max=SWIGLUOAI_LIMIT)
        up = up.clamp(-SWIGLUOAI_LIMIT, SWIGLUOAI_LIMIT)
        return gate * torch.sigmoid(SWIGLUOAI_ALPHA * gate) * (up + 1)
    x = up if gate is None else gate
    if case.activation == "silu":
        activated = F.silu(x)
    elif case.activation == "gelu":
        activated = F.gelu(x, approximate="tanh")
    else:
        activated = F.relu(x).square()
    return activated if gate is None else activated * up


class LoopMoe:
    """Expert by expert: gather its rows, three products, weigh, add to the tokens they came from."""

    staged: ClassVar[bool] = True

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse quantized dtypes, and graphs."""
        if case.dtype in ("int8", "float8_e4m3"):
            return f"loop has no {case.dtype} path"
        return reads_back("loop") if case.graph else None

    def build(self, case: MoeLayer, operands: Tensors, mark: Mark = unmarked) -> Step:
        """Compute the formula of bench.kernels.moe.layer, with gradients in a training step."""
        if case.backward:
            return with_gradients(operands, lambda leaves: loop(case, leaves, unmarked))
        return lambda: {"y": loop(case, operands, mark)}


def loop(case: MoeLayer, operands: Tensors, mark: Mark) -> Tensor:
    """Compute y [tokens, hidden]."""
    x = operands["x"]
    matrices = [operands[name].unbind() for name in ("up", "down")]
    gates = operands["gate"].unbind() if case.gated else [None] * case.local_experts
    weight, chosen = choose(case, operands)
    arrived = arrivals(case, operands, weight, chosen)
    mark("gate")
    z = x @ operands["latent_in"].T if case.latent else x
    sums = torch.zeros((case.tokens, case.width), dtype=sum_dtype(x), device=x.device)
    for e, (up, down, gate) in enumerate(zip(*matrices, gates, strict=True)):
        rows, slots = torch.nonzero(arrived.local == e, as_tuple=True)
        if case.capacity is not None:
            rows, slots = rows[: case.capacity], slots[: case.capacity]
        if len(rows):
            tokens = rows if arrived.token is None else arrived.token[rows]
            inputs = z[tokens]
            mark("dispatch")
            first, second = inputs @ up.T, None if gate is None else inputs @ gate.T
            mark("experts")
            activated = activate(case, first, second)
            mark("activation")
            out = activated @ down.T
            mark("experts")
            sums = sums.index_add_(0, tokens, out * arrived.weight[rows, slots, None])
            mark("combine")
    if arrived.unchanged is not None:
        sums = sums + z * arrived.unchanged
    y = sums.to(x.dtype)
    if case.latent:
        y = y @ operands["latent_out"].T
    mark("combine")
    if case.shared_width:
        y = y + shared_mlp(case, x, operands)
        mark("shared")
    return y


def shared_mlp(case: MoeLayer, x: Tensor, operands: Tensors) -> Tensor:
    """Compute the shared experts as one MLP: [tokens, hidden]."""
    up, down = operands["shared_up"], operands["shared_down"]
    gate = operands["shared_gate"] if case.gated else None
    return activate(case, x @ up.T, None if gate is None else x @ gate.T) @ down.T
