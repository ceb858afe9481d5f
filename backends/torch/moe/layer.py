"""The sequence of a mixture-of-experts layer, with its stages; an implementation fills in three parts.

gate → dispatch → experts → combine, and where a model has them, latent projections around the experts and
shared experts beside them. loop.py has all of this on one page, without this skeleton.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from backends.torch.implementation import Mark, Tensors, unmarked
from backends.torch.moe.arrivals import Arrivals, arrivals
from backends.torch.moe.gate import choose
from backends.torch.moe.loop import shared_mlp
from bench.kernels.moe.layer import MoeLayer

# Tokens as experts take them: a tensor [tokens, width], or 8-bit values with their scales.
T = TypeVar("T")
# What dispatch hands to experts and combine: the rows of each expert, and the way back to their tokens.
D = TypeVar("D")


class Layer(ABC, Generic[T, D]):
    """A layer on a device, its weights laid out; each call computes y [tokens, hidden]."""

    # Whether the tokens' weighted sums are a step after the experts, rather than part of their kernels.
    combines: ClassVar[bool] = True

    def __init__(self, case: MoeLayer, operands: Tensors) -> None:
        """Keep the operands that the methods below read: x, the gate's, and the latent and shared weights."""
        self.case = case
        self.operands = operands

    def __call__(self, mark: Mark = unmarked) -> Tensor:
        """Compute the layer once; `mark` is called at the end of each part of a stage."""
        case, x = self.case, self.operands["x"]
        weight, chosen = self.gate()
        mark("gate")
        tokens = self.tokens(x)
        z = self.latent_in(tokens) if case.latent else tokens
        arrived = arrivals(case, self.operands, weight, chosen)
        dispatched = self.dispatch(z, arrived)
        mark("dispatch")
        rows = self.experts(dispatched, mark)
        mark("experts")
        returned = self.floating(z) if case.zero_experts else None
        y = arrived.add_up(self.combine(rows, dispatched), case.tokens, returned)
        if case.latent:
            y = self.latent_out(y)
        if self.combines or case.latent:
            mark("combine")
        if case.shared_width:
            y = y + self.shared(tokens)
            mark("shared")
        return y.to(x.dtype)

    @abstractmethod
    def dispatch(self, z: T, arrived: Arrivals) -> D:
        """Bring the tokens z to the experts at which they arrived."""

    @abstractmethod
    def experts(self, dispatched: D, mark: Mark) -> Tensor:
        """Compute the experts' outputs [rows, width]; mark the activation between the products."""

    @abstractmethod
    def combine(self, rows: Tensor, dispatched: D) -> Tensor:
        """Add up the rows of each row of the table by the gate's weights: [rows of the table, width]."""

    @abstractmethod
    def tokens(self, x: Tensor) -> T:
        """Convert x [tokens, hidden] to what is sent to the experts."""

    @abstractmethod
    def floating(self, z: T) -> Tensor:
        """Convert what is sent to the experts back to a tensor [tokens, width]."""

    @abstractmethod
    def latent_in(self, tokens: T) -> T:
        """Project tokens to the experts' width, before dispatch."""

    @abstractmethod
    def latent_out(self, y: Tensor) -> Tensor:
        """Project the sums [tokens, width] back to the model's width, after combine."""

    @abstractmethod
    def shared(self, tokens: T) -> Tensor:
        """Compute the shared experts, which every token visits: [tokens, hidden]."""

    def gate(self) -> tuple[Tensor, Tensor]:
        """Choose experts: weights [tokens, top_k] and the experts' numbers [tokens, top_k]."""
        return choose(self.case, self.operands)


class FloatLayer(Layer[Tensor, D]):
    """A layer that computes in the dtype of its tokens."""

    def tokens(self, x: Tensor) -> Tensor:
        """Return x unchanged."""
        return x

    def floating(self, z: Tensor) -> Tensor:
        """Leave it as it is."""
        return z

    def latent_in(self, tokens: Tensor) -> Tensor:
        """Multiply by the matrix [width, hidden]."""
        return tokens @ self.operands["latent_in"].T

    def latent_out(self, y: Tensor) -> Tensor:
        """Multiply by the matrix [hidden, width]."""
        return y @ self.operands["latent_out"].T

    def shared(self, tokens: Tensor) -> Tensor:
        """Compute the shared experts as one MLP."""
        return shared_mlp(self.case, tokens, self.operands)


def joined_first(case: MoeLayer, operands: Tensors, suffix: str = "", prefix: str = "") -> Tensor:
    """Join gate and up matrices [.., out, in], gate first, so that both products are one; up alone as it is.

    `suffix` "_scale" joins their scales; `prefix` "shared_" takes the shared experts'.
    """
    up = operands[f"{prefix}up{suffix}"]
    if not case.gated:
        return up
    return torch.cat([operands[f"{prefix}gate{suffix}"], up], dim=-2)


def split_first(case: MoeLayer, product: Tensor) -> tuple[Tensor, Tensor | None]:
    """Split the product of `joined_first` [rows, out] into up and gate, None without a gate matrix."""
    if not case.gated:
        return product, None
    gate, up = product.chunk(2, dim=1)
    return up, gate
