"""A training step of a layer by torch's own differentiation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from backends.torch.implementation import Step, Tensors

# What is not trained: the offset that makes the gate choose, and what takes part in the choice only.
FIXED = ("planted", "correction_bias", "dy")


def with_gradients(operands: Tensors, forward: Callable[[Tensors], Tensor]) -> Step:
    """Return a step that computes `y` and the gradients `d_NAME` of everything that is trained."""
    leaves = {
        name: tensor.detach().requires_grad_(name not in FIXED) for name, tensor in operands.items()
    }
    trained = [name for name in leaves if name not in FIXED]
    dy = operands["dy"]

    def step() -> Tensors:
        y = forward(leaves)
        found = torch.autograd.grad(
            y, [leaves[name] for name in trained], dy, materialize_grads=True
        )
        return {"y": y.detach(), **{f"d_{name}": g for name, g in zip(trained, found, strict=True)}}

    return step
