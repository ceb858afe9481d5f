"""The small functions of a mixture-of-experts layer in float64: its gates and activations."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.kernels.base import FloatArray

Gate = Literal["softmax", "sigmoid", "sqrt_softplus"]

# gpt-oss (openai/gpt-oss, torch/model.py): clamped swish with a linear term of one.
SWIGLUOAI_ALPHA = 1.702
SWIGLUOAI_LIMIT = 7.0


def sigmoid(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + e**-x)."""
    return 1.0 / (1.0 + np.exp(-x))


def activate(activation: str, up: FloatArray, gate: FloatArray | None) -> FloatArray:
    """Return act(gate) ∘ up, or act(up) where experts have no gate matrix."""
    if activation == "swigluoai":
        assert gate is not None
        gate = np.minimum(gate, SWIGLUOAI_LIMIT)
        up = np.clip(up, -SWIGLUOAI_LIMIT, SWIGLUOAI_LIMIT)
        return gate * sigmoid(SWIGLUOAI_ALPHA * gate) * (up + 1.0)
    x = up if gate is None else gate
    if activation == "silu":
        acted = x * sigmoid(x)
    elif activation == "gelu":
        # The tanh form (Hendrycks & Gimpel 2016, section 2), which the models that use it compute.
        acted = 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))
    elif activation == "relu2":
        acted = np.maximum(x, 0.0) ** 2
    else:
        raise ValueError(f"unknown activation {activation!r}")
    return acted if gate is None else acted * up


def gate_weights(
    logits: FloatArray, chosen: NDArray[Any], *, gate: str, normalize: bool, scaling: float
) -> FloatArray:
    """Return the weights of the chosen experts, [tokens, top_k].

    softmax: of all experts' logits. sigmoid: of each logit (DeepSeek-V3). sqrt_softplus:
    √log(1 + e**logit). `normalize` makes a token's weights sum to one before `scaling`; a
    correction bias takes part in the choice only, not in the weights.
    """
    if gate == "softmax":
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = raised / raised.sum(axis=1, keepdims=True)
    elif gate == "sigmoid":
        scores = sigmoid(logits)
    else:
        scores = np.sqrt(np.logaddexp(0.0, logits))
    weight = np.take_along_axis(scores, chosen.astype(np.int64), axis=1)
    if normalize:
        weight /= weight.sum(axis=1, keepdims=True)
    return weight * scaling
