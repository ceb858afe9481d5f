"""Kernel `moe_layer`: gate, dispatch, experts, combine and shared experts of one transformer layer.

    logits = x · routerᵀ + planted           [tokens, experts]
    chosen, weight = gate(logits)            [tokens, top_k]
    y[t] = Σ_j weight[t, j] · expert_{chosen[t, j]}(x[t])  +  shared(x[t])
    expert_e(x) = (act(x · gate_eᵀ) ∘ (x · up_eᵀ)) · down_eᵀ

How tokens find their experts is in `bench.kernels.moe.base`; `bench.kernels.moe.reference` computes the
layer and its gradients in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.kernels.base import Operand, Work
from bench.kernels.dtypes import DTYPES, accumulate_roundoff
from bench.kernels.inputs import generator, tensor
from bench.kernels.moe.shape import SCALED, LayerShape
from bench.kernels.moe.stages import stage_work
from bench.kernels.moe.verify import verify
from bench.kernels.verification import (
    RANDOM_WALK,
    SAFETY,
    ErrorBound,
    Verification,
)

# Relative rounding error of quantized rows: before both products of an expert, and before both projections
# of a latent layer. int8: the largest value of a token, about four standard deviations, becomes 127, and
# rounding to steps of that size is an error of 4 / 127 / √12 standard deviations; rows between the products
# of an expert are products of two normal numbers, whose largest value is about sixteen. float8_e4m3: at most
# 2**-4, uniformly distributed.
INT8_STEP, FLOAT8_ROUNDOFF = 1 / 127 / 12**0.5, 2**-4 / 3**0.5
QUANTIZED_ROWS = {
    "int8": (INT8_STEP * np.hypot(4, 16), INT8_STEP * np.hypot(4, 4)),
    "float8_e4m3": (FLOAT8_ROUNDOFF * 2**0.5, FLOAT8_ROUNDOFF * 2**0.5),
}

# Shape and scale by name.
Shapes = dict[str, tuple[tuple[int, ...], float]]


class MoeLayer(LayerShape):
    """A mixture-of-experts layer, forward or with its gradients.

    `intermediate` is the width of one routed expert, `shared_intermediate` the width of all
    `shared_experts` together (by default `shared_experts` · `intermediate`); they are computed as one
    MLP, so one expert of twice the width is the same case as two. `expert_hidden` is the input and
    output width of routed experts if it differs from the model's (latent experts: one projection before
    dispatch, one after combine).

    `pass: forward_backward` computes the outputs and, from a given gradient of them, the gradients of
    tokens, router and all matrices of experts, as one training step does, without recomputation.

    In int8 and float8_e4m3 the weights of experts have per-channel scales, and rows are quantized on
    the fly with per-token scales; tokens, gate and results are bfloat16.
    """

    name: ClassVar[str] = "moe_layer"
    error_bound = ErrorBound(
        "2·(√(p + top_k)·(u_out + u_in) + √(hidden + intermediate)·u_acc + q)",
        "p = 4 products and activations, 8 with gradients; in the worst implementation each of top_k "
        "sums; quantized rows q = "
        + ", ".join(
            f"{experts:.3f} in {dtype} ({np.hypot(experts, projections):.3f} in latent layers)"
            for dtype, (experts, projections) in QUANTIZED_ROWS.items()
        ),
        RANDOM_WALK,
    )

    def shape(self, model: str | None = None) -> str:
        """Describe experts, the devices that share them, top_k, widths, tokens and routing."""
        widths = "" if model else f" {self.hidden}×{self.intermediate}"
        backward = " +backward" if self.backward else ""
        return f"{self.experts_text(model)}{widths} {self.load_text()}{backward}"

    def work(self, seed: int) -> Work:
        """Count the FLOPs and minimum bytes of the layer.

        With T tokens, hidden H, intermediate I, E experts (zero-computation experts included), A
        assignments that the device computes, and S the shared width, the forward pass has 2·T·H·E for
        the gate, 6·A·H·I for routed experts (three products; 4·A·H·I without a gate matrix), 6·T·H·S for
        shared experts, and 4·T·H·L for the projections of a latent layer of width L. The report of
        DeepSeek-V3 and verl's flops_counter count the same; activation, softmax and sums are left out,
        as they are below 0.1 %. Gradients need two more products for each of these, so forward_backward
        counts three times as much (Megatron-LM, arXiv 2104.04473, appendix; no recomputation).

        Bytes are those of tokens in and out, the router, the shared experts, and the weights of routed
        experts with at least one token, in 8 bits with one float32 scale per output channel. In a training
        step the forward and the backward pass of a layer lie far apart, so both read the weights and the
        tokens; the second also reads the gradient of the outputs, and writes those of tokens and weights.
        So weights count three times and tokens 5/2 times.
        """
        counts, load = self.load(seed)
        one_expert = self.matrices * self.width * self.intermediate
        router = self.hidden * self.scored_experts
        always = self.matrices * self.hidden * self.shared_width + (
            2 * self.hidden * self.width if self.latent else 0
        )
        weight_bytes = (
            int(np.count_nonzero(counts)) * self.expert_bytes
            + self.shared_bytes
            + sum(self.latent_bytes)
            + router * self._token_bytes
        ) * (3 if self.backward else 1)
        token_bytes = self.tokens * self.hidden * self._token_bytes * (5 if self.backward else 2)
        flops = 2 * (self.tokens * (router + always) + int(counts.sum()) * one_expert)
        return Work(
            flops=3 * flops if self.backward else flops,
            bytes=weight_bytes + token_bytes,
            weight_bytes=weight_bytes,
            tokens=self.tokens,
            load=load,
        )

    def stage_work(self, seed: int) -> dict[str, Work]:
        """Count the work of the stages of a forward pass."""
        return {} if self.backward else stage_work(self, seed)

    @property
    def _token_bytes(self) -> int:
        return DTYPES[self.token_dtype].bytes

    def memory_bytes(self) -> int:
        """Return the bytes of weights and tokens, and of the rows between the products of experts.

        Where devices are unequal, the mean number of rows: drawing them first could be what does not fit.
        """
        weights = (
            self.local_experts * self.expert_bytes + self.shared_bytes + sum(self.latent_bytes)
        )
        rows = self.tokens * self.top_k * (2 * self.width + self.matrices * self.intermediate)
        gated = (2 * self.tokens + self.scored_experts) * self.hidden
        once = weights + (rows + gated) * self._token_bytes
        return 2 * once if self.backward else once

    @cached_property
    def weight_shapes(self) -> Shapes:
        """The shape and scale of each weight; matrices are [out, in], as models store them."""
        local, inner, width, shared = (
            self.local_experts,
            self.intermediate,
            self.width,
            self.shared_width,
        )
        shapes: Shapes = {
            "up": ((local, inner, width), width**-0.5),
            "down": ((local, width, inner), inner**-0.5),
        }
        if self.gated:
            shapes["gate"] = ((local, inner, width), width**-0.5)
        if self.latent:
            shapes["latent_in"] = ((width, self.hidden), self.hidden**-0.5)
            shapes["latent_out"] = ((self.hidden, width), width**-0.5)
        if shared:
            shapes["shared_up"] = ((shared, self.hidden), self.hidden**-0.5)
            shapes["shared_down"] = ((self.hidden, shared), shared**-0.5)
            if self.gated:
                shapes["shared_gate"] = ((shared, self.hidden), self.hidden**-0.5)
        return shapes

    def make_inputs(self, seed: int) -> dict[str, Operand]:
        """Make tokens `x`, the router, the matrices of experts, and `planted` [tokens, experts].

        With gradients also `dy` [tokens, hidden], the gradient of the outputs. A matrix in 8 bits comes
        with `NAME_scale`, float32 [..., out, 1]; the weights are its values times these. The router is
        random whatever `inputs` says, because constant logits would not choose any expert.
        """
        operands: dict[str, Operand] = {}

        def add(name: str, shape: tuple[int, ...], scale: float, dtype: str) -> None:
            operands[name] = Operand(
                tensor(
                    shape,
                    dtype,
                    seed=seed,
                    name=f"moe_layer/{name}",
                    scale=scale,
                    distribution="normal" if name == "router" else self.inputs,
                ),
                dtype,
            )

        for name, (shape, scale) in self.gate_shapes.items():
            add(name, shape, scale, self.token_dtype)
        for name, (shape, scale) in self.weight_shapes.items():
            quantized = self.dtype in SCALED
            add(name, shape, 1.0 if quantized else scale, self.dtype)
            if quantized:
                operands[f"{name}_scale"] = self._channel_scale(name, shape, scale, seed)
        if self.backward:
            add("dy", (self.tokens, self.hidden), 1.0, self.token_dtype)
        return {**operands, **self.gate_inputs(seed), **self.arrival_inputs(seed)}

    def _channel_scale(self, name: str, shape: tuple[int, ...], scale: float, seed: int) -> Operand:
        """Draw the scales of a quantized matrix, [..., out, 1]: unequal, as those of real channels."""
        random = generator(seed, f"moe_layer/{name}_scale")
        spread = random.uniform(0.5, 1.5, (*shape[:-1], 1)).astype(np.float32)
        return Operand(spread * np.float32(scale / SCALED[self.dtype]), "float32")

    def tolerance(self) -> float:
        """Bound the relative error: twice what rounding explains (`error_bound`).

        A value is rounded to the dtype after each of four products or activations and, in the worst
        implementation, after each of top_k additions: as a random walk, √(4 + top_k) times one
        rounding. Sums inside the products add √(hidden + intermediate) roundings of the accumulator.
        Gradients pass through twice as many products. 8-bit formats add the quantization of the rows
        before both products and, in latent layers, before both projections.
        """
        dtype, tokens = DTYPES[self.dtype], DTYPES[self.token_dtype]
        products = 8 if self.backward else 4
        rounding = np.sqrt(products + self.top_k) * (
            tokens.output_roundoff + dtype.multiply_roundoff
        )
        sums = np.sqrt(self.hidden + self.intermediate) * accumulate_roundoff(self.token_dtype)
        rows = QUANTIZED_ROWS.get(self.dtype, (0.0, 0.0))
        quantized = np.hypot(*rows) if self.latent else rows[0]
        return float(SAFETY * (rounding + sums + quantized))

    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Compare `y` [tokens, hidden] and every gradient `d_NAME` with the reference."""
        return verify(self, inputs, outputs, seed)
