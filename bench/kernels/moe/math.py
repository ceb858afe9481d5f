"""Gates and activations of mixture-of-experts layers in float64, forward and backward."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.kernels.dtypes import FloatArray

Gate = Literal["softmax", "sigmoid", "sqrt_softplus"]

# gpt-oss (openai/gpt-oss, torch/model.py): clamped swish, and 1 added to the linear term.
SWIGLUOAI_ALPHA = 1.702
SWIGLUOAI_LIMIT = 7.0


def sigmoid(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + e**-x)."""
    return 1.0 / (1.0 + np.exp(-x))


def activate(activation: str, up: FloatArray, gate: FloatArray | None) -> FloatArray:
    """Return act(gate) ∘ up, or act(up) for experts without a gate matrix."""
    if activation == "swigluoai":
        assert gate is not None
        gate = np.minimum(gate, SWIGLUOAI_LIMIT)
        up = np.clip(up, -SWIGLUOAI_LIMIT, SWIGLUOAI_LIMIT)
        return gate * sigmoid(SWIGLUOAI_ALPHA * gate) * (up + 1.0)
    x = up if gate is None else gate
    if activation == "silu":
        acted = x * sigmoid(x)
    elif activation == "gelu":
        # The tanh approximation (Hendrycks & Gimpel 2016, section 2), as in the models that use GELU.
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

    softmax: over the logits of all experts. sigmoid: of each logit (DeepSeek-V3). sqrt_softplus:
    √log(1 + e**logit). With `normalize`, a token's weights sum to one before `scaling`. A correction
    bias affects the choice of experts, not the weights.
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


def activate_backward(
    activation: str, up: FloatArray, gate: FloatArray | None, d: FloatArray
) -> tuple[FloatArray, FloatArray | None]:
    """Return the gradients of `up` and `gate`, given the gradient `d` of the result of `activate`."""
    if activation == "swigluoai":
        assert gate is not None
        inside = gate < SWIGLUOAI_LIMIT
        gate = np.minimum(gate, SWIGLUOAI_LIMIT)
        s = sigmoid(SWIGLUOAI_ALPHA * gate)
        clipped = np.clip(up, -SWIGLUOAI_LIMIT, SWIGLUOAI_LIMIT)
        d_up = d * gate * s * (np.abs(up) < SWIGLUOAI_LIMIT)
        d_gate = d * (clipped + 1.0) * (s + SWIGLUOAI_ALPHA * gate * s * (1.0 - s)) * inside
        return d_up, d_gate
    x = up if gate is None else gate
    if activation == "silu":
        s = sigmoid(x)
        acted, slope = x * s, s + x * s * (1.0 - s)
    elif activation == "gelu":
        root = np.sqrt(2.0 / np.pi)
        t = np.tanh(root * (x + 0.044715 * x**3))
        acted = 0.5 * x * (1.0 + t)
        slope = 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t**2) * root * (1.0 + 3 * 0.044715 * x**2)
    elif activation == "relu2":
        acted, slope = np.maximum(x, 0.0) ** 2, 2.0 * np.maximum(x, 0.0)
    else:
        raise ValueError(f"unknown activation {activation!r}")
    if gate is None:
        return d * slope, None
    return d * acted, d * up * slope


def gate_backward(
    logits: FloatArray,
    chosen: NDArray[Any],
    d_weight: FloatArray,
    terms: FloatArray,
    *,
    gate: str,
    normalize: bool,
    scaling: float,
    rounding: float,
) -> tuple[FloatArray, FloatArray]:
    """Return the gradient of the logits, and the magnitude of its terms, both [tokens, experts].

    `d_weight` is the gradient of the result of `gate_weights`, and `terms` the magnitude of the terms
    whose sum it is. Where sums cancel, the rounding error follows from the terms, not from the result;
    the second array is what errors of the first are relative to. `rounding` is the roundoff of scores
    over that of the terms of `d_weight`.
    """
    chosen = chosen.astype(np.int64)
    if gate == "softmax":
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = raised / raised.sum(axis=1, keepdims=True)
        slope = steepness = scores
    elif gate == "sigmoid":
        scores = sigmoid(logits)
        slope = scores * (1.0 - scores)
        # Near one, 1 - s inherits the rounding error of s.
        steepness = slope + rounding * scores**2
    else:
        scores = np.sqrt(np.logaddexp(0.0, logits))
        slope = steepness = sigmoid(logits) / (2.0 * scores)
    picked = np.take_along_axis(scores, chosen, axis=1)
    d_picked = d_weight * scaling
    size = np.maximum(np.abs(d_weight), terms) * scaling
    if normalize:
        # d(s_j / Σs) = ds_j / Σs - s_j · Σds / Σs²
        total = picked.sum(axis=1, keepdims=True)
        mean = (d_picked * picked).sum(axis=1, keepdims=True) / total
        size = (size + np.abs(mean)) / total
        d_picked = (d_picked - mean) / total
    d_scores = np.zeros_like(logits)
    np.put_along_axis(d_scores, chosen, d_picked, axis=1)
    sizes = np.zeros_like(logits)
    np.put_along_axis(sizes, chosen, size, axis=1)
    if gate == "softmax":
        mean = (d_scores * scores).sum(axis=1, keepdims=True)
        return slope * (d_scores - mean), slope * (sizes + np.abs(mean))
    return slope * d_scores, steepness * sizes
