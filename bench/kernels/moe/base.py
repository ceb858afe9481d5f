"""What all mixture-of-experts kernels share: tokens, experts, routing, and the gate."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bench.kernels.base import Kernel, Operand, Size
from bench.kernels.dtypes import FloatArray
from bench.kernels.inputs import tensor
from bench.kernels.moe.math import Gate, gate_weights
from bench.kernels.moe.traces import read_trace
from bench.kernels.routing import (
    Load,
    Routing,
    choose_experts,
    expert_load,
    groups_touched_when_balanced,
    places_within_experts,
    routing_sha256,
)

# Logits are N(0, 0.25²) around ±PLANTED. Twenty-four standard deviations lie between the two, and a
# sigmoid is not yet flat there, so weights still differ from token to token.
PLANTED = 3.0
LOGIT_SCALE = 0.25
BIAS_SCALE = 0.02

# Routing is drawn on the host. No layer of a published model comes near these; a typing error may.
MOST_EXPERTS = 1 << 20
MOST_ASSIGNMENTS = 1 << 27

# Serving has two phases: decode, a few new tokens of many requests at a time, and prefill, whole prompts.
MOST_DECODE_TOKENS = 512
PHASES = {
    "decode": (1, 8, 32, 64, 128, 256, 512),
    "prefill": (1024, 4096, 8192, 16384, 32768),
}


class RoutedKernel(Kernel):
    """Tokens that each go to `top_k` of `experts`.

    `routing` sets how unequal the loads of experts are; `trace` is the file for `routing: trace`, of
    which the first `tokens` are used. With `capacity_factor: c` each expert takes at most c times the mean
    of the experts on the device, ⌈c · tokens · top_k / local_experts⌉ assignments, in the order of tokens;
    the rest are dropped (Switch Transformers, arXiv 2101.03961, section 2.2).

    `expert_parallel: N` measures one of N devices that share the experts. It holds experts/N of them
    and computes the tokens · top_k assignments that a device receives on average. Its own tokens stand
    in for those that peers would send (expert e is served by local expert e mod experts/N), so no
    communication is measured.
    """

    # A trace is identified by its content: a copy of the file elsewhere is the same case.
    known_by_content: ClassVar[tuple[str, ...]] = ("trace",)

    hidden: Size
    experts: Size
    top_k: Size
    tokens: Size
    groups: Size = 1
    topk_groups: Size = 1
    routing: Routing = "balanced"
    routing_exponent: Annotated[float, Field(ge=0, le=10)] = 1.0
    trace: str | None = None
    trace_sha256: str | None = None
    capacity_factor: Annotated[float, Field(gt=0, le=1000)] | None = None
    expert_parallel: Size = 1

    @model_validator(mode="before")
    @classmethod
    def _trace_by_content(cls, given: Any) -> Any:
        """Record the hash of the trace, so that a case does not depend on a path."""
        if isinstance(given, dict) and given.get("trace") and not given.get("trace_sha256"):
            try:
                content = Path(given["trace"]).read_bytes()
            except OSError as error:
                raise ValueError(f"trace: {given['trace']}: {error.strerror}") from None
            return {**given, "trace_sha256": hashlib.sha256(content).hexdigest()}
        return given

    @model_validator(mode="after")
    def _routable(self) -> RoutedKernel:
        if self.experts > MOST_EXPERTS:
            raise ValueError(f"experts: expected at most {MOST_EXPERTS}, got {self.experts}")
        if self.tokens * self.top_k > MOST_ASSIGNMENTS:
            raise ValueError(
                f"tokens: {self.tokens} times top_k ({self.top_k}) is more than {MOST_ASSIGNMENTS} "
                "assignments of tokens to experts"
            )
        if self.top_k > self.experts:
            raise ValueError(f"top_k: {self.top_k} is more than experts ({self.experts})")
        if self.experts % self.groups:
            raise ValueError(f"groups: {self.groups} does not divide experts ({self.experts})")
        if self.topk_groups > self.groups:
            raise ValueError(f"topk_groups: {self.topk_groups} is more than groups ({self.groups})")
        if self.top_k > self.topk_groups * (self.experts // self.groups):
            raise ValueError(
                f"top_k: {self.top_k} is more than the experts in {self.topk_groups} of {self.groups} "
                f"groups of {self.experts // self.groups}"
            )
        if self.experts % self.expert_parallel:
            raise ValueError(
                f"expert_parallel: {self.expert_parallel} does not divide experts ({self.experts})"
            )
        touched = groups_touched_when_balanced(self.experts, self.top_k, self.groups)
        if self.routing == "balanced" and touched > self.topk_groups:
            raise ValueError(
                f"routing: balanced needs {touched} groups per token, but topk_groups is "
                f"{self.topk_groups}; use uniform or power_law"
            )
        if (self.routing == "trace") != (self.trace is not None):
            raise ValueError("trace: is the file for `routing: trace`; give both or neither")
        if self.trace is not None:
            self.chosen(0)  # a trace that does not fit the layer is an error in the config
        return self

    def idle_parameters(self) -> dict[str, str]:
        """Return the exponent where loads follow no power law."""
        if self.routing == "power_law":
            return {}
        return {"routing_exponent": "it belongs to `routing: power_law`"}

    def load_text(self) -> str:
        """Describe tokens and routing, for a table."""
        skew = f"^{self.routing_exponent:g}" if self.routing == "power_law" else ""
        trace = f" {Path(self.trace).stem}" if self.trace is not None else ""
        full = f" capacity {self.capacity_factor:g}" if self.capacity_factor is not None else ""
        return f"{self.tokens} tokens {self.routing}{skew}{trace}{full}"

    def experts_text(self, model: str | None) -> str:
        """Describe experts by the model's name or by their number, and how many devices share them."""
        shared = f"/{self.expert_parallel}" if self.expert_parallel > 1 else ""
        return f"{model}{shared}" if model else f"{self.experts}{shared} experts top-{self.top_k}"

    @property
    def phase(self) -> str:
        """The phase of serving, decode or prefill, in which this number of tokens is typical."""
        return "decode" if self.tokens <= MOST_DECODE_TOKENS else "prefill"

    @property
    def local_experts(self) -> int:
        """The number of routed experts on this device."""
        return self.experts // self.expert_parallel

    @property
    def capacity(self) -> int | None:
        """The largest number of assignments that an expert takes, None without a limit."""
        if self.capacity_factor is None:
            return None
        mean = self.tokens * self.top_k / self.local_experts
        return int(np.ceil(self.capacity_factor * mean))

    def chosen(self, seed: int) -> NDArray[np.int32]:
        """Return the experts of each token, of all devices, [tokens, top_k] int32."""
        if self.trace is not None:
            return read_trace(
                Path(self.trace),
                sha256=self.trace_sha256,
                tokens=self.tokens,
                top_k=self.top_k,
                experts=self.experts,
                groups=self.groups,
                topk_groups=self.topk_groups,
            )
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

    def kept(self, seed: int) -> NDArray[np.bool_]:
        """Return which assignments are within the capacity of their expert, [tokens, top_k]."""
        local = self.chosen(seed) % self.local_experts
        if self.capacity is None:
            return np.ones(local.shape, bool)
        return places_within_experts(local) < self.capacity

    def load(self, seed: int) -> tuple[NDArray[np.int64], Load]:
        """Return the number of kept assignments per local expert [local_experts], and a summary."""
        chosen = self.chosen(seed)
        local = (chosen % self.local_experts)[self.kept(seed)]
        counts = np.bincount(local, minlength=self.local_experts)
        assigned = np.bincount(chosen.ravel() % self.local_experts, minlength=self.local_experts)
        return counts, expert_load(
            assigned, dropped=chosen.size - local.size, sha256=routing_sha256(chosen)
        )


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
    scaling: Annotated[float, Field(gt=0)] = 1.0
    correction_bias: bool = False

    @cached_property
    def gate_shapes(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """The shapes and scales of the tokens `x` and the `router`."""
        return {
            "x": ((self.tokens, self.hidden), 1.0),
            "router": ((self.experts, self.hidden), LOGIT_SCALE * self.hidden**-0.5),
        }

    def gate_inputs(self, seed: int) -> dict[str, Operand]:
        """Return `planted` [tokens, experts] and, if the gate has one, `correction_bias` [experts]."""
        planted = np.full((self.tokens, self.experts), -PLANTED, np.float32)
        np.put_along_axis(planted, self.chosen(seed).astype(np.int64), PLANTED, axis=1)
        operands = {"planted": Operand(planted, "float32")}
        if self.correction_bias:
            # A softmax gives each chosen expert about 1/top_k; the bias must stay well below that.
            scale = BIAS_SCALE / self.top_k
            bias = tensor((self.experts,), "float32", seed=seed, name="moe_layer/bias", scale=scale)
            operands["correction_bias"] = Operand(bias, "float32")
        return operands

    def weights(self, logits: FloatArray, chosen: NDArray[np.int32]) -> FloatArray:
        """Return the weights of the chosen experts in float64, [tokens, top_k]."""
        return gate_weights(
            logits, chosen, gate=self.gate, normalize=self.normalize, scaling=self.scaling
        )
