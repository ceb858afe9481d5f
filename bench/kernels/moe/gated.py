"""Mixture-of-experts kernels with a gate, whose choice of experts is planted."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench.kernels.base import Operand
from bench.kernels.dtypes import FloatArray
from bench.kernels.inputs import tensor
from bench.kernels.moe.base import RoutedKernel
from bench.kernels.moe.math import Gate, gate_weights

# Logits are N(0, 0.25²) around ±PLANTED. Twenty-four standard deviations lie between the two, and a
# sigmoid is not yet flat there, so weights still differ from token to token.
PLANTED = 3.0
LOGIT_SCALE = 0.25
BIAS_SCALE = 0.02


class GatedKernel(RoutedKernel):
    """Tokens, and the gate that chooses their experts.

    Devices compute the gate in full, yet all of them must choose the same experts; otherwise a rounding
    error would give two devices different work. A planted offset of the logits, far above the rounding
    error of any number format, makes the gate choose the experts drawn by `bench.kernels.routing`.

    `groups`, `topk_groups`, `normalize`, `scaling` and `correction_bias` are those of DeepSeek-V3
    (arXiv 2412.19437, section 2.1.2).
    """

    gate: Gate = "softmax"
    normalize: bool = True
    scaling: Annotated[float, Field(ge=1e-3, le=1e3)] = 1.0
    correction_bias: bool = False

    @cached_property
    def gate_shapes(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """The shapes and scales of the tokens `x` and the `router`."""
        return {
            "x": ((self.tokens, self.hidden), 1.0),
            "router": ((self.scored_experts, self.hidden), LOGIT_SCALE * self.hidden**-0.5),
        }

    def input_bytes(self) -> int:
        """Add the host memory of `planted`, which is an input, and on the device temporary."""
        return super().input_bytes() + 4 * self.tokens * self.scored_experts

    def gate_inputs(self, seed: int) -> dict[str, Operand]:
        """Make `planted` [tokens, experts] and, if the gate has one, `correction_bias` [experts].

        Zero-computation experts are among these experts.
        """
        planted = np.full((self.tokens, self.scored_experts), -PLANTED, np.float32)
        np.put_along_axis(planted, self.chosen(seed).astype(np.int64), PLANTED, axis=1)
        operands = {"planted": Operand(planted, "float32")}
        if self.correction_bias:
            # A softmax gives each chosen expert about 1/top_k; the bias must stay well below that.
            scale = BIAS_SCALE / self.top_k
            bias = tensor(
                (self.scored_experts,), "float32", seed=seed, name="moe_layer/bias", scale=scale
            )
            operands["correction_bias"] = Operand(bias, "float32")
        return operands

    def weights(self, logits: FloatArray, chosen: NDArray[np.int32]) -> FloatArray:
        """Compute the weights of the chosen experts in float64, [tokens, top_k]."""
        return gate_weights(
            logits, chosen, gate=self.gate, normalize=self.normalize, scaling=self.scaling
        )
