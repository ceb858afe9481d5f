"""The gate of a mixture-of-experts layer in torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.torch.implementation import Tensors
from bench.kernels.moe.gated import GatedKernel


def sum_dtype(x: Tensor) -> torch.dtype:
    """Choose the dtype for scores and sums over experts: float32, or float64 for x in float64."""
    return torch.promote_types(x.dtype, torch.float32)


def choose(case: GatedKernel, operands: Tensors) -> tuple[Tensor, Tensor]:
    """Choose experts: weights [tokens, top_k] and the experts' numbers [tokens, top_k] int64.

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
    if case.capacity is not None:
        # Which assignments are dropped must not depend on the order in which topk returns them.
        chosen = chosen.sort(dim=-1).values
    weight = scores.gather(1, chosen)
    if case.normalize:
        weight = weight / weight.sum(dim=-1, keepdim=True)
    return weight * case.scaling, chosen
