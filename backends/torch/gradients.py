"""A training step of a layer by torch's own differentiation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from backends.torch.implementation import Step, Tensors

# Not trained: the logits that steer the gate, its correction bias, the upstream gradient, and routing.
FIXED = ("planted", "correction_bias", "dy", "arrivals", "arrived_experts")


def with_gradients(operands: Tensors, forward: Callable[[Tensors], Tensor]) -> Step:
    """Make a step that computes `y` and the gradients `d_NAME` of all trained operands."""
    leaves = {
        name: tensor.detach().requires_grad_(name not in FIXED) for name, tensor in operands.items()
    }
    trained = [name for name in leaves if name not in FIXED]
    dy = operands["dy"]

    def step() -> Tensors:
        y = forward(leaves)
        gradients = torch.autograd.grad(
            y, [leaves[name] for name in trained], dy, materialize_grads=True
        )
        return {
            "y": y.detach(),
            **{f"d_{name}": g for name, g in zip(trained, gradients, strict=True)},
        }

    return step
