"""Kernel `moe_layer`: gate, dispatch, experts, combine and shared experts of one transformer layer.

    logits = x · routerᵀ + planted           [tokens, experts]
    chosen, weight = gate(logits)            [tokens, top_k]
    y[t] = Σ_j weight[t, j] · expert_{chosen[t, j]}(x[t])  +  shared(x[t])
    expert_e(x) = (act(x · gate_eᵀ) ∘ (x · up_eᵀ)) · down_eᵀ

The gate is computed like any other part, yet every backend has to send every token to the same
experts, or two devices would be given different work by a rounding error. So the logits get a
planted offset, far above the noise of any number format, that makes the gate find the experts
which `bench.routing` chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bench.dtypes import DTYPES, accumulate_roundoff
from bench.inputs import generator, tensor
from bench.kernels.base import Count, FloatArray, Kernel, Operand, Size, Verification, Work, compare
from bench.kernels.moe_math import Gate, activate, gate_weights
from bench.routing import (
    Routing,
    choose_experts,
    groups_touched_when_balanced,
    imbalance,
    routing_sha256,
)

# Logits are N(0, 0.25²) around ±PLANTED: fourteen standard deviations apart, and a sigmoid's
# slope has not yet died there, so weights still differ from token to token.
PLANTED = 3.0
LOGIT_SCALE = 0.25
BIAS_SCALE = 0.02

# A layer up to this size is verified for every token; a larger one for this many random tokens.
WHOLE_FLOPS = 1 << 31
SAMPLED_TOKENS = 32


class MoeLayer(Kernel):
    """A mixture-of-experts layer in the forward pass.

    `intermediate` is the width of one routed expert, `shared_intermediate` the width of all
    `shared_experts` together (by default so many experts' width). `expert_hidden` is the width that
    routed experts run in where that is not the model's (latent experts: one projection before
    dispatch, one after combine). `groups`, `topk_groups`, `normalize`, `scaling` and
    `correction_bias` are the gate's, as in DeepSeek-V3 (arXiv 2412.19437, section 2.1.2).

    `expert_parallel: N` measures one of N devices that share the experts: it gates its own tokens
    over all experts, holds experts/N of them, and computes the tokens · top_k assignments that reach
    a device on average. Its own tokens stand for those that peers would send (expert e is served by
    local expert e mod experts/N), so no communication is measured.
    """

    name: ClassVar[str] = "moe_layer"
    hidden: Size
    intermediate: Size
    experts: Size
    top_k: Size
    tokens: Size
    shared_experts: Count = 0
    shared_intermediate: Count | None = None
    expert_hidden: Size | None = None
    gated: bool = True
    activation: Literal["silu", "gelu", "relu2", "swigluoai"] = "silu"
    gate: Gate = "softmax"
    groups: Size = 1
    topk_groups: Size = 1
    normalize: bool = True
    scaling: Annotated[float, Field(gt=0)] = 1.0
    correction_bias: bool = False
    routing: Routing = "balanced"
    routing_exponent: Annotated[float, Field(ge=0, le=10)] = 1.0
    expert_parallel: Size = 1

    @model_validator(mode="after")
    def _consistent(self) -> MoeLayer:
        if self.top_k > self.experts:
            raise ValueError(f"top_k: {self.top_k} is more than experts ({self.experts})")
        if self.experts % self.groups:
            raise ValueError(f"groups: {self.groups} does not divide experts ({self.experts})")
        if self.topk_groups > self.groups:
            raise ValueError(f"topk_groups: {self.topk_groups} is more than groups ({self.groups})")
        if self.top_k > self.topk_groups * (self.experts // self.groups):
            raise ValueError(
                f"top_k: {self.top_k} experts do not fit into {self.topk_groups} of {self.groups} "
                f"groups of {self.experts // self.groups}"
            )
        if self.experts % self.expert_parallel:
            raise ValueError(
                f"expert_parallel: {self.expert_parallel} does not divide experts ({self.experts})"
            )
        touched = groups_touched_when_balanced(self.experts, self.top_k, self.groups)
        if self.routing == "balanced" and touched > self.topk_groups:
            raise ValueError(
                f"routing: balanced needs {touched} groups a token, "
                f"topk_groups allows {self.topk_groups}"
            )
        if self.activation == "swigluoai" and not self.gated:
            raise ValueError("activation: swigluoai is a gated activation, but gated is false")
        return self

    def shape(self, model: str | None = None) -> str:
        """Return experts (and how many devices share them), top_k, widths, tokens and routing."""
        shared = f"/{self.expert_parallel}" if self.expert_parallel > 1 else ""
        skew = f"^{self.routing_exponent:g}" if self.routing == "power_law" else ""
        load = f"{self.tokens} tokens {self.routing}{skew}"
        if model is not None:
            return f"{model}{shared} {load}"
        widths = f"{self.hidden}×{self.intermediate}"
        return f"{self.experts}{shared} experts top-{self.top_k} {widths} {load}"

    @property
    def local_experts(self) -> int:
        """The number of routed experts that this device holds."""
        return self.experts // self.expert_parallel

    @property
    def width(self) -> int:
        """The width that routed experts run in."""
        return self.expert_hidden or self.hidden

    @property
    def latent(self) -> bool:
        """Whether tokens are projected to another width before dispatch, and back after combine."""
        return self.width != self.hidden

    @property
    def shared_width(self) -> int:
        """The intermediate width of all shared experts together."""
        if self.shared_intermediate is not None:
            return self.shared_intermediate
        return self.shared_experts * self.intermediate

    @property
    def matrices(self) -> int:
        """The number of matrices of one expert: gate, up and down, or without a gate two."""
        return 3 if self.gated else 2

    def chosen(self, seed: int) -> NDArray[np.int32]:
        """Return the experts of each token over all devices, [tokens, top_k] int32."""
        return choose_experts(
            tokens=self.tokens,
            experts=self.experts,
            top_k=self.top_k,
            groups=self.groups,
            topk_groups=self.topk_groups,
            routing=self.routing,
            exponent=self.routing_exponent,
            seed=seed,
        )

    def work(self, seed: int) -> Work:
        """Return the layer's FLOPs and least bytes.

        With T tokens, hidden H, intermediate I, E experts, k = top_k, A = T·k assignments and S the
        shared width, in the forward pass: 2·T·H·E for the gate, 6·A·H·I for the routed experts
        (three products; 4·A·H·I without a gate matrix), 6·T·H·S for the shared ones, and 4·T·H·L for
        the projections of a latent layer of width L. This is the count of DeepSeek-V3's report and
        of verl's flops_counter; activation, softmax and sums are left out, being below 0.1 %.

        Bytes: tokens in and out, the router, the shared experts, and the weights of those routed
        experts that at least one token reaches.
        """
        dtype = DTYPES[self.dtype]
        chosen = self.chosen(seed)
        counts = np.bincount(chosen.ravel() % self.local_experts, minlength=self.local_experts)
        assignments = self.tokens * self.top_k
        one_expert = self.matrices * self.width * self.intermediate
        always = (
            self.hidden * self.experts
            + self.matrices * self.hidden * self.shared_width
            + (2 * self.hidden * self.width if self.latent else 0)
        )
        weights = always + int(np.count_nonzero(counts)) * one_expert
        return Work(
            flops=2 * (self.tokens * always + assignments * one_expert),
            bytes=weights * dtype.bytes + self.tokens * self.hidden * (dtype.bytes * 2),
            tokens=self.tokens,
            imbalance=imbalance(counts),
            routing_sha256=routing_sha256(chosen),
        )

    def memory_bytes(self) -> int:
        """Return the bytes of weights and tokens, and of the rows between the experts' products."""
        size = DTYPES[self.dtype].bytes
        weights = sum(int(np.prod(shape)) for shape, _ in self._shapes.values())
        rows = self.tokens * self.top_k * (2 * self.width + self.matrices * self.intermediate)
        return (weights + rows + self.tokens * self.hidden) * size

    @cached_property
    def _shapes(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """Return each random operand's shape and scale; weights lie [out, in] as models store them."""
        local, inner, width, shared = (
            self.local_experts,
            self.intermediate,
            self.width,
            self.shared_width,
        )
        shapes = {
            "x": ((self.tokens, self.hidden), 1.0),
            "router": ((self.experts, self.hidden), LOGIT_SCALE * self.hidden**-0.5),
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
        """Return the tokens `x`, the router, the experts' matrices, and `planted` [tokens, experts].

        The router is random whatever `inputs` says: constant logits would choose nothing.
        """
        operands = {
            name: Operand(
                tensor(
                    shape,
                    self.dtype,
                    seed=seed,
                    name=f"moe_layer/{name}",
                    scale=scale,
                    distribution="normal" if name == "router" else self.inputs,
                ),
                self.dtype,
            )
            for name, (shape, scale) in self._shapes.items()
        }
        planted = np.full((self.tokens, self.experts), -PLANTED, np.float32)
        np.put_along_axis(planted, self.chosen(seed).astype(np.int64), PLANTED, axis=1)
        operands["planted"] = Operand(planted, "float32")
        if self.correction_bias:
            # A softmax gives each chosen expert about 1/top_k; the bias has to stay well below that.
            scale = BIAS_SCALE / self.top_k
            bias = tensor((self.experts,), "float32", seed=seed, name="moe_layer/bias", scale=scale)
            operands["correction_bias"] = Operand(bias, "float32")
        return operands

    def tolerance(self) -> float:
        """Return the relative error that rounding alone can explain, times two.

        A value is rounded to the dtype after each of four products or activations and, in the worst
        implementation, after each of top_k additions; as a random walk that is √(4 + top_k) times
        one rounding. Sums inside the products add √(hidden + intermediate) of the accumulator's.
        """
        dtype = DTYPES[self.dtype]
        rounding = np.sqrt(4 + self.top_k) * (dtype.output_roundoff + dtype.multiply_roundoff)
        sums = np.sqrt(self.hidden + self.intermediate) * accumulate_roundoff(self.dtype)
        return float(2 * (rounding + sums))

    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Compare `y` [tokens, hidden] with the reference, for all tokens or some random ones."""
        y = outputs["y"]
        if y.shape != (self.tokens, self.hidden) or self.work(seed).flops <= WHOLE_FLOPS:
            tokens, compared = np.arange(self.tokens), "every token"
        else:
            random = generator(seed, "moe_layer/verify")
            count = min(SAMPLED_TOKENS, self.tokens)
            tokens = np.sort(random.choice(self.tokens, count, replace=False))
            compared = f"{count} random tokens"
        ref = self.reference(inputs, tokens, self.chosen(seed)[tokens])
        return compare(y[tokens] if len(y) == self.tokens else y, ref, self.tolerance(), compared)

    def reference(
        self, inputs: Mapping[str, Operand], tokens: NDArray[Any], chosen: NDArray[np.int32]
    ) -> FloatArray:
        """Return y for some tokens in float64, expert by expert, as the formula above reads."""

        def operand(name: str, part: Any = ...) -> FloatArray:
            return np.asarray(inputs[name].array[part], np.float64)

        def mlp(x: FloatArray, prefix: str, part: Any = ...) -> FloatArray:
            up = x @ operand(f"{prefix}up", part).T
            gate = x @ operand(f"{prefix}gate", part).T if self.gated else None
            acted = activate(self.activation, up, gate)
            return np.asarray(acted @ operand(f"{prefix}down", part).T)

        x = operand("x", tokens)
        logits = x @ operand("router").T + operand("planted", tokens)
        weight = gate_weights(
            logits, chosen, gate=self.gate, normalize=self.normalize, scaling=self.scaling
        )
        z = x @ operand("latent_in").T if self.latent else x
        served = np.zeros((len(tokens), self.width))
        local = chosen % self.local_experts
        for expert in range(self.local_experts):
            rows, slots = np.nonzero(local == expert)
            if len(rows):
                out = mlp(z[rows], "", expert) * weight[rows, slots][:, None]
                np.add.at(served, rows, out)
        y = served @ operand("latent_out").T if self.latent else served
        return y + mlp(x, "shared_") if self.shared_width else y
