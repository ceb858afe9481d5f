"""What the experts of a device receive: rows of its own tokens, which may stand in for those of peers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from backends.torch.implementation import Tensors
from bench.kernels.moe.base import RoutedKernel


@dataclass(frozen=True)
class Arrivals:
    """A table of assignments: gate weights and local experts (int64), both [rows, slots].

    Usually a row is a token and has top_k slots. In a `ragged` layer it is one assignment, of the token
    `token` [rows]. `unchanged` [tokens, 1] are the summed weights of zero-computation experts.
    """

    weight: Tensor
    local: Tensor
    token: Tensor | None = None
    unchanged: Tensor | None = None

    def tokens(self, assignments: Tensor) -> Tensor:
        """Find the token of each assignment, given as row · slots + slot."""
        return assignments // self.local.shape[1] if self.token is None else self.token[assignments]

    def rows(self, z: Tensor) -> Tensor:
        """Gather what each row of the table reads from the tokens z [tokens, width]."""
        return z if self.token is None else z.index_select(0, self.token)

    def add_up(self, y: Tensor, tokens: int, z: Tensor | None = None) -> Tensor:
        """Add up each token's rows of y [rows, width]: [tokens, width].

        Zero-computation experts add their tokens z [tokens, width].
        """
        if self.token is None:
            return y
        dtype = torch.promote_types(y.dtype, torch.float32)
        if self.unchanged is None:
            sums = torch.zeros((tokens, y.shape[1]), dtype=dtype, device=y.device)
        else:
            assert z is not None
            sums = (z * self.unchanged).to(dtype)
        return sums.index_add(0, self.token, y.to(dtype)).to(y.dtype)


def arrivals(case: RoutedKernel, operands: Tensors, weight: Tensor, chosen: Tensor) -> Arrivals:
    """Make the table from a gate's weights and choice [tokens, top_k]."""
    if not case.ragged:
        return Arrivals(weight, chosen % case.local_experts)
    # Slots are in the order of the experts' numbers, whatever the order in which a gate returns them.
    chosen, order = chosen.sort(dim=-1)
    weight = weight.gather(1, order)
    assignments = operands["arrivals"]
    unchanged = None
    if case.zero_experts:
        unchanged = weight.masked_fill(chosen < case.experts, 0.0).sum(dim=1, keepdim=True)
    return Arrivals(
        weight.flatten()[assignments][:, None],
        operands["arrived_experts"][:, None],
        assignments // case.top_k,
        unchanged,
    )
