"""A mixture-of-experts layer in torch, expert by expert: the plain one, to be checked by eye."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.torch_device import Step, Tensors
from bench.kernels.moe_layer import MoeLayer
from bench.kernels.moe_math import SWIGLUOAI_ALPHA, SWIGLUOAI_LIMIT


def sum_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype that scores and sums over experts are kept in."""
    return torch.promote_types(x.dtype, torch.float32)


def choose(case: MoeLayer, operands: Tensors) -> tuple[Tensor, Tensor]:
    """Return weights [tokens, top_k] and the chosen experts [tokens, top_k] int64.

    Scores are computed in float32 as the published models do (float64 stays float64); groups are
    ranked by their two best experts (DeepSeek-V3) and the correction bias takes part in the choice
    only.
    """
    logits = (operands["x"] @ operands["router"].T).to(sum_dtype(operands["x"]))
    logits += operands["planted"]
    if case.gate == "softmax":
        scores = torch.softmax(logits, dim=-1)
    elif case.gate == "sigmoid":
        scores = torch.sigmoid(logits)
    else:
        scores = F.softplus(logits).sqrt()
    choice = scores + operands["correction_bias"] if case.correction_bias else scores
    if case.topk_groups < case.groups:
        grouped = choice.view(len(choice), case.groups, -1)
        best = grouped.topk(min(2, grouped.shape[-1]), dim=-1).values.sum(dim=-1)
        open_groups = best.topk(case.topk_groups, dim=-1).indices
        closed = torch.ones_like(best, dtype=torch.bool).scatter_(1, open_groups, False)
        choice = grouped.masked_fill(closed[:, :, None], float("-inf")).flatten(1)
    chosen = choice.topk(case.top_k, dim=-1, sorted=False).indices
    weight = scores.gather(1, chosen)
    if case.normalize:
        weight = weight / weight.sum(dim=-1, keepdim=True)
    return weight * case.scaling, chosen


def activate(case: MoeLayer, up: Tensor, gate: Tensor | None) -> Tensor:
    """Return act(gate) ∘ up, or act(up) where experts have no gate matrix."""
    if case.activation == "swigluoai":
        assert gate is not None
        gate = gate.clamp(max=SWIGLUOAI_LIMIT)
        up = up.clamp(-SWIGLUOAI_LIMIT, SWIGLUOAI_LIMIT)
        return gate * torch.sigmoid(SWIGLUOAI_ALPHA * gate) * (up + 1)
    x = up if gate is None else gate
    if case.activation == "silu":
        acted = F.silu(x)
    elif case.activation == "gelu":
        acted = F.gelu(x, approximate="tanh")
    else:
        acted = F.relu(x).square()
    return acted if gate is None else acted * up


def mlp(case: MoeLayer, x: Tensor, up: Tensor, gate: Tensor | None, down: Tensor) -> Tensor:
    """Return one expert's output for rows x; matrices lie [out, in]."""
    return activate(case, x @ up.T, None if gate is None else x @ gate.T) @ down.T


class Loop:
    """Expert by expert: gather its rows, three products, weigh, add to the tokens they came from."""

    api: ClassVar[str] = "torch"
    kernel: ClassVar[str] = "moe_layer"
    name: ClassVar[str] = "loop"

    def preference(self, device_type: str) -> int:
        """Return 0: the plain one."""
        return 0

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Return why the layer cannot be computed, or None."""
        if case.dtype in ("int8", "float8_e4m3"):
            return f"loop has no {case.dtype} path"
        return None

    def build(self, case: MoeLayer, operands: Tensors) -> Step:
        """Return the layer as the formula in bench.kernels.moe_layer reads."""
        x = operands["x"]
        up, gate, down = operands["up"], operands.get("gate"), operands["down"]

        def step() -> Tensors:
            weight, chosen = choose(case, operands)
            local = chosen % case.local_experts
            z = x @ operands["latent_in"].T if case.latent else x
            served = torch.zeros((case.tokens, case.width), dtype=sum_dtype(x), device=x.device)
            for e in range(case.local_experts):
                rows, slots = torch.nonzero(local == e, as_tuple=True)
                if len(rows):
                    out = mlp(case, z[rows], up[e], None if gate is None else gate[e], down[e])
                    served.index_add_(0, rows, out * weight[rows, slots, None])
            y = served.to(x.dtype)
            if case.latent:
                y = y @ operands["latent_out"].T
            if case.shared_width:
                y = y + mlp(
                    case,
                    x,
                    operands["shared_up"],
                    operands.get("shared_gate"),
                    operands["shared_down"],
                )
            return {"y": y}

        return step
