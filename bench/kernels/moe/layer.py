"""Kernel `moe_layer`: gate, dispatch, experts, combine and shared experts of one transformer layer.

    logits = x · routerᵀ + planted           [tokens, experts]
    chosen, weight = gate(logits)            [tokens, top_k]
    y[t] = Σ_j weight[t, j] · expert_{chosen[t, j]}(x[t])  +  shared(x[t])
    expert_e(x) = (act(x · gate_eᵀ) ∘ (x · up_eᵀ)) · down_eᵀ

`bench.kernels.moe.base` says how tokens find their experts, `bench.kernels.moe.reference` computes the
layer and its gradients in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.kernels.base import FloatArray, Operand, Verification, Work, compare
from bench.kernels.dtypes import DTYPES, accumulate_roundoff
from bench.kernels.inputs import generator, tensor
from bench.kernels.moe.reference import Part, forward, gradients
from bench.kernels.moe.shape import SCALED, LayerShape
from bench.kernels.moe.stages import stage_work

# A layer up to this size is verified for every token; a larger one for this many random tokens and
# the gradients of this many random experts.
WHOLE_FLOPS = 1 << 31
SAMPLED_TOKENS = 32
SAMPLED_EXPERTS = 2

# int8: a token's largest value, about four standard deviations, becomes 127; rounding to such steps
# is an error of 4 / 127 / √12 standard deviations. The rows between the products are products of
# two normal numbers, whose largest is about sixteen. float8_e4m3: 2**-4 at most, evenly spread.
INT8_ROUNDOFF = (4**2 + 16**2) ** 0.5 / 127 / 12**0.5
FLOAT8_ROUNDOFF = 2**0.5 * 2**-4 / 3**0.5

# Shape and scale by name.
Shapes = dict[str, tuple[tuple[int, ...], float]]


class MoeLayer(LayerShape):
    """A mixture-of-experts layer, forward or with its gradients.

    `intermediate` is the width of one routed expert, `shared_intermediate` the width of all
    `shared_experts` together (by default so many experts' width). `expert_hidden` is the width that
    routed experts run in where that is not the model's (latent experts: one projection before
    dispatch, one after combine).

    `pass: forward_backward` computes the outputs and, from a given gradient of them, the gradients of
    tokens, router and all experts' matrices, as one training step does; nothing is recomputed.

    In int8 and float8_e4m3 the experts' weights have a scale an output channel and rows are quantised
    as they come, with a scale a token; tokens, gate and results are bfloat16.
    """

    name: ClassVar[str] = "moe_layer"

    def shape(self, model: str | None = None) -> str:
        """Return experts (and how many devices share them), top_k, widths, tokens and routing."""
        widths = "" if model else f" {self.hidden}×{self.intermediate}"
        backward = " +backward" if self.backward else ""
        return f"{self.experts_text(model)}{widths} {self.load_text()}{backward}"

    def work(self, seed: int) -> Work:
        """Return the layer's FLOPs and least bytes.

        With T tokens, hidden H, intermediate I, E experts, A assignments (T·top_k less the dropped)
        and S the shared width, in the forward pass: 2·T·H·E for the gate, 6·A·H·I for the routed
        experts (three products; 4·A·H·I without a gate matrix), 6·T·H·S for the shared ones, and
        4·T·H·L for the projections of a latent layer of width L. This is the count of DeepSeek-V3's
        report and of verl's flops_counter; activation, softmax and sums are left out, being below
        0.1 %. Gradients need two more products for each of these, so forward_backward counts three
        times as much (Megatron-LM, arXiv 2104.04473, appendix; no recomputation).

        Bytes: tokens in and out, the router, the shared experts, and the weights of those routed
        experts that at least one token reaches; with gradients, as much again of each.
        """
        counts, load = self.load(seed)
        one_expert = self.matrices * self.width * self.intermediate
        router = self.hidden * self.experts
        always = self.matrices * self.hidden * self.shared_width + (
            2 * self.hidden * self.width if self.latent else 0
        )
        reached = always + int(np.count_nonzero(counts)) * one_expert
        weight_bytes = reached * DTYPES[self.dtype].bytes + router * self._token_bytes
        token_bytes = 2 * self.tokens * self.hidden * self._token_bytes
        flops = 2 * (self.tokens * (router + always) + int(counts.sum()) * one_expert)
        both = 2 if self.backward else 1
        return Work(
            flops=3 * flops if self.backward else flops,
            bytes=both * (weight_bytes + token_bytes),
            weight_bytes=both * weight_bytes,
            tokens=self.tokens,
            load=load,
        )

    def stage_work(self, seed: int) -> dict[str, Work]:
        """Return the work of the stages of a forward pass."""
        return {} if self.backward else stage_work(self, seed)

    @property
    def _token_bytes(self) -> int:
        return DTYPES[self.token_dtype].bytes

    def memory_bytes(self) -> int:
        """Return the bytes of weights and tokens, and of the rows between the experts' products."""
        weights = sum(int(np.prod(shape)) for shape, _ in self.weight_shapes.values())
        rows = self.tokens * self.top_k * (2 * self.width + self.matrices * self.intermediate)
        once = weights * DTYPES[self.dtype].bytes + (
            (rows + 2 * self.tokens * self.hidden + self.experts * self.hidden) * self._token_bytes
        )
        return 2 * once if self.backward else once

    @cached_property
    def weight_shapes(self) -> Shapes:
        """Each weight's shape and scale; they lie [out, in], as models store them."""
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
        """Return tokens `x`, the router, the experts' matrices, and `planted` [tokens, experts].

        With gradients also `dy` [tokens, hidden], that of the outputs. A matrix in 8 bits comes with
        `NAME_scale`, float32 [..., out]: its numbers times these are the weights. The router is
        random whatever `inputs` says: constant logits would choose nothing.
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
            quantised = self.dtype in SCALED
            add(name, shape, 1.0 if quantised else scale, self.dtype)
            if quantised:
                operands[f"{name}_scale"] = self._channel_scale(name, shape, scale, seed)
        if self.backward:
            add("dy", (self.tokens, self.hidden), 1.0, self.token_dtype)
        return {**operands, **self.gate_inputs(seed)}

    def _channel_scale(self, name: str, shape: tuple[int, ...], scale: float, seed: int) -> Operand:
        """Return a quantised matrix's scales [..., out, 1]: unequal, as those of real channels are."""
        random = generator(seed, f"moe_layer/{name}_scale")
        spread = random.uniform(0.5, 1.5, (*shape[:-1], 1)).astype(np.float32)
        return Operand(spread * np.float32(scale / SCALED[self.dtype]), "float32")

    def tolerance(self) -> float:
        """Return the relative error that rounding alone can explain, times two.

        A value is rounded to the dtype after each of four products or activations and, in the worst
        implementation, after each of top_k additions; as a random walk that is √(4 + top_k) times
        one rounding. Sums inside the products add √(hidden + intermediate) of the accumulator's.
        Gradients go through twice as many products. 8 bits add the rounding of two products' rows.
        """
        dtype, tokens = DTYPES[self.dtype], DTYPES[self.token_dtype]
        products = 8 if self.backward else 4
        rounding = np.sqrt(products + self.top_k) * (
            tokens.output_roundoff + dtype.multiply_roundoff
        )
        sums = np.sqrt(self.hidden + self.intermediate) * accumulate_roundoff(self.token_dtype)
        rows = {"int8": INT8_ROUNDOFF, "float8_e4m3": FLOAT8_ROUNDOFF}.get(self.dtype, 0.0)
        return float(2 * (rounding + sums + rows))

    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Compare `y` [tokens, hidden], and every gradient `d_NAME`, with the reference.

        All of it in a small layer; in a large one random tokens, and the matrices' gradients of
        random experts.
        """
        part = self._part(seed)
        checks = []
        tokens = part.tokens
        expected: dict[str, tuple[FloatArray, float | None]] = {
            "y": (forward(self, inputs, tokens, seed), None)
        }
        if self.backward:
            expected |= gradients(self, inputs, part, seed)
        for name, (ref, scale) in expected.items():
            if name not in outputs:
                return Verification(float("inf"), self.tolerance(), False, f"{name} is missing")
            out = outputs[name]
            if name in ("y", "d_x") and len(out) == self.tokens:
                out = out[tokens]
            elif name in ("d_up", "d_gate", "d_down") and len(out) == self.local_experts:
                out = out[part.experts]
            checks.append(compare(out, ref, self.tolerance(), name, scale))
        worst = max(checks, key=lambda check: check.rel_error)
        compared = part.described if worst.passed else f"{part.described}; {worst.compared}"
        return Verification(
            worst.rel_error, worst.tolerance, all(check.passed for check in checks), compared
        )

    def _part(self, seed: int) -> Part:
        """Return what of the outputs is compared."""
        if self.work(seed).flops <= WHOLE_FLOPS:
            every = "every token" + (" and every gradient" if self.backward else "")
            return Part(np.arange(self.tokens), np.arange(self.local_experts), True, every)
        random = generator(seed, "moe_layer/verify")
        count = min(SAMPLED_TOKENS, self.tokens)
        tokens = np.sort(random.choice(self.tokens, count, replace=False))
        few = min(SAMPLED_EXPERTS, self.local_experts)
        experts = np.sort(random.choice(self.local_experts, few, replace=False))
        described = f"{count} random tokens"
        if self.backward:
            described += f" and their gradients, the matrices' of {few} random experts"
        return Part(tokens, experts, False, described)
