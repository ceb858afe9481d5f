"""What all mixture-of-experts kernels share: tokens, experts, routing, and the device's share of both."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bench.kernels.base import Count, Kernel, Operand, Size
from bench.kernels.moe.placement import (
    Assignments,
    NamedDevice,
    Share,
    arrivals,
    every_assignment,
    find_device,
    loads_of_devices,
)
from bench.kernels.moe.traces import read_content, read_trace
from bench.kernels.routing import (
    Load,
    Routing,
    check_sizes,
    choose_experts,
    drawing_bytes,
    expert_load,
    groups_touched_when_balanced,
    places_within_experts,
    routing_sha256,
)

# Every visit to a case needs its share of the routing, 24 bytes per assignment; rows and progress need its
# load only, a few numbers. The routing of many devices takes seconds to draw.
SHARES_KEPT = 16
LOADS_KEPT = 1024

# Serving has two phases: decode, a few new tokens of many requests at a time, and prefill, whole prompts.
MOST_DECODE_TOKENS = 512
PHASES = {
    "decode": (1, 8, 32, 64, 128, 256, 512),
    "prefill": (1024, 4096, 8192, 16384, 32768),
}


class RoutedKernel(Kernel):
    """Tokens that each go to `top_k` of `experts`.

    `routing` sets how unequal the loads of experts are; `trace` is the file for `routing: trace`, of
    which the first tokens are used. `zero_experts` more experts return their token unchanged: the gate
    scores and chooses them like the others, and nothing is sent to them (LongCat-Flash, arXiv
    2509.01322, section 2.1). With `capacity_factor: c` each expert takes at most c times the mean per
    expert, ⌈c · tokens · top_k · expert_parallel / (experts + zero_experts)⌉ assignments, in the order of
    tokens; the rest are dropped (Switch Transformers, arXiv 2101.03961, section 2.2).

    `expert_parallel: N` measures one of N devices that share the experts, E/N neighboring ones each.
    `tokens` are those of this device, so the batch of all devices has N · tokens. The device gates its
    own tokens, and its experts compute the assignments that reach them from all devices:

        A_d = number of (token, expert) in the routing of N · tokens with d · E/N ≤ expert < (d+1) · E/N

    Balanced routing sends each device the mean, tokens · top_k. Other routings send A_d to device d, and
    `device` says which d is measured: mean (the default, A_d closest to the mean), median or hottest, on
    which a step of all devices waits. No communication is measured: the device's own tokens stand in for
    those of its peers, each for an equal part of the A_d arrivals (`bench.kernels.moe.placement`).
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
    device: NamedDevice | None = None
    zero_experts: Count = 0

    @model_validator(mode="before")
    @classmethod
    def _trace_by_content(cls, given: Any) -> Any:
        """Record the hash of the trace, so that a case does not depend on a path."""
        if not isinstance(given, dict) or given.get("trace_sha256"):
            return given
        if isinstance(trace := given.get("trace"), str) and trace:
            content = read_content(Path(trace))
            return {**given, "trace_sha256": hashlib.sha256(content).hexdigest()}
        return given

    @model_validator(mode="before")
    @classmethod
    def _name_device(cls, given: Any) -> Any:
        """Name the device where devices are unequal, so that case_id and row say which one it is."""
        if isinstance(given, dict) and given.get("device") is None:
            alike = given.get("routing", "balanced") == "balanced"
            alone = given.get("expert_parallel", 1) == 1
            return {**given, "device": None if alike or alone else "mean"}
        return given

    @model_validator(mode="after")
    def _routable(self) -> RoutedKernel:
        scored = self.scored_experts
        check_sizes(
            tokens=self.drawn_tokens,
            experts=scored,
            top_k=self.top_k,
            name="tokens",
        )
        if self.top_k > scored:
            raise ValueError(f"top_k: {self.top_k} is more than experts ({scored})")
        if self.zero_experts and self.groups > 1:
            raise ValueError("zero_experts: cannot be combined with groups of experts")
        if scored % self.groups:
            raise ValueError(f"groups: {self.groups} does not divide experts ({self.experts})")
        if self.topk_groups > self.groups:
            raise ValueError(f"topk_groups: {self.topk_groups} is more than groups ({self.groups})")
        if self.top_k > self.topk_groups * (scored // self.groups):
            raise ValueError(
                f"top_k: {self.top_k} is more than the experts in {self.topk_groups} of {self.groups} "
                f"groups of {scored // self.groups}"
            )
        if self.experts % self.expert_parallel:
            raise ValueError(
                f"expert_parallel: {self.expert_parallel} does not divide experts ({self.experts})"
            )
        touched = groups_touched_when_balanced(scored, self.top_k, self.groups)
        if self.routing == "balanced" and touched > self.topk_groups:
            raise ValueError(
                f"routing: balanced needs {touched} groups per token, but topk_groups is "
                f"{self.topk_groups}; use uniform or power_law"
            )
        if (self.routing == "trace") != (self.trace is not None):
            raise ValueError("trace: is the file for `routing: trace`; give both or neither")
        if self.trace_sha256 is not None and self.trace is None:
            raise ValueError("trace_sha256: is that of the file `trace`; leave it out")
        if self.trace is not None:
            self.chosen(0)  # a trace that does not fit the layer is an error in the config
        return self

    def idle_parameters(self) -> dict[str, str]:
        """List the exponent without a power law, the device among equals, and groups without a limit."""
        idle = {}
        if self.routing != "power_law":
            idle["routing_exponent"] = "it belongs to `routing: power_law`"
        if self.expert_parallel == 1:
            idle["device"] = "it chooses among devices that share the experts (expert_parallel)"
        elif not self.unequal_devices:
            idle["device"] = "balanced routing gives all devices the same load"
        if self.groups == self.topk_groups > 1:
            reason = "a token may go to every group, as topk_groups equals groups"
            idle |= {"groups": reason, "topk_groups": reason}
        return idle

    def load_text(self) -> str:
        """Describe tokens and routing, for a table."""
        skew = f"^{self.routing_exponent:g}" if self.routing == "power_law" else ""
        trace = f" {Path(self.trace).stem}" if self.trace is not None else ""
        full = f" capacity {self.capacity_factor:g}" if self.capacity_factor is not None else ""
        device = f" {self.named_device} device" if self.named_device else ""
        return f"{self.tokens} tokens {self.routing}{skew}{trace}{full}{device}"

    def experts_text(self, model: str | None) -> str:
        """Describe experts by the model's name or by their number, and how many devices share them."""
        shared = f"/{self.expert_parallel}" if self.expert_parallel > 1 else ""
        if model:
            return f"{model}{shared}"
        zero = f"+{self.zero_experts} zero" if self.zero_experts else ""
        return f"{self.experts}{zero}{shared} experts top-{self.top_k}"

    @property
    def phase(self) -> str:
        """The phase of serving, decode or prefill, in which this number of tokens is typical."""
        return "decode" if self.tokens <= MOST_DECODE_TOKENS else "prefill"

    @property
    def local_experts(self) -> int:
        """The number of routed experts on this device."""
        return self.experts // self.expert_parallel

    @property
    def scored_experts(self) -> int:
        """The number of experts among which the gate chooses."""
        return self.experts + self.zero_experts

    @property
    def unequal_devices(self) -> bool:
        """Whether the devices that share the experts receive unequal loads."""
        return self.expert_parallel > 1 and self.routing != "balanced"

    @property
    def named_device(self) -> NamedDevice | None:
        """Which of the devices is measured, None where all are alike."""
        return self.device if self.unequal_devices else None

    @property
    def ragged(self) -> bool:
        """Whether a token's number of rows on this device differs from `top_k`, and from token to token."""
        return self.unequal_devices or self.zero_experts > 0

    @property
    def drawn_tokens(self) -> int:
        """The number of tokens whose routing decides what reaches this device."""
        return self.tokens * (self.expert_parallel if self.unequal_devices else 1)

    @property
    def capacity(self) -> int | None:
        """The largest number of assignments that an expert takes, None without a limit."""
        if self.capacity_factor is None:
            return None
        mean = self.tokens * self.top_k * self.expert_parallel / self.scored_experts
        return int(np.ceil(self.capacity_factor * mean))

    def chosen(self, seed: int) -> NDArray[np.int32]:
        """Look up the experts of each token of this device, [tokens, top_k] int32."""
        return self._share(seed).chosen

    def assignments(self, seed: int) -> Assignments:
        """List the assignments that reach this device, including those that a capacity drops."""
        return self._share(seed).assignments

    def _share(self, seed: int) -> Share:
        # Where devices are alike, the drawing that is kept is that of this device.
        return _kept_share(self, seed) if self.unequal_devices else self.share(seed)

    def share(self, seed: int) -> Share:
        """Draw the routing of all devices, and take out what the measured one has of it."""
        drawn = self.drawn(seed)
        sha256 = routing_sha256(drawn)
        if not self.unequal_devices:
            every = every_assignment(drawn, experts=self.experts, local_experts=self.local_experts)
            return Share(drawn, every, 1.0 if self.expert_parallel > 1 else None, sha256)
        loads = loads_of_devices(drawn, self.local_experts, self.expert_parallel)
        assert self.device is not None
        device = find_device(loads, self.device)
        own = drawn[device * self.tokens : (device + 1) * self.tokens].copy()
        reached = arrivals(
            drawn, device=device, local_experts=self.local_experts, tokens=self.tokens
        )
        return Share(own, reached, float(loads[device] / max(loads.mean(), 1e-9)), sha256)

    def received(self, seed: int) -> int:
        """Count the `assignments`."""
        counts, load = self.load(seed)
        return int(counts.sum()) + load.dropped

    def drawn(self, seed: int) -> NDArray[np.int32]:
        """Draw or read the experts of each of `drawn_tokens`, [drawn_tokens, top_k] int32."""
        if self.trace is not None:
            return read_trace(
                Path(self.trace),
                sha256=self.trace_sha256,
                tokens=self.tokens,
                devices=self.expert_parallel,
                top_k=self.top_k,
                experts=self.scored_experts,
                groups=self.groups,
                topk_groups=self.topk_groups,
            )
        return choose_experts(
            tokens=self.drawn_tokens,
            experts=self.scored_experts,
            top_k=self.top_k,
            groups=self.groups,
            topk_groups=self.topk_groups,
            routing=self.routing,
            exponent=self.routing_exponent,
            seed=seed,
            zero_experts=self.zero_experts,
        )

    def routing_bytes(self) -> int:
        """Return the host memory of a drawing."""
        return drawing_bytes(self.drawn_tokens, self.scored_experts, self.top_k, self.routing)

    def kept(self, seed: int) -> NDArray[np.bool_]:
        """Mark the `assignments` that are within the capacity of their expert."""
        expert = self.assignments(seed).expert
        if self.capacity is None:
            return np.ones(len(expert), bool)
        return places_within_experts(expert) < self.capacity

    def load(self, seed: int) -> tuple[NDArray[np.int64], Load]:
        """Count the kept assignments per local expert, [local_experts], and summarize the loads."""
        return _kept_load(self, seed)

    def arrival_inputs(self, seed: int) -> dict[str, Operand]:
        """Make the operands that list the assignments of a `ragged` layer; other layers have none.

        `arrivals` [A] int64 are token · top_k + slot, ascending by token, where a token's slots are in
        the order of its experts' numbers; `arrived_experts` [A] int64 are the experts on this device.
        """
        if not self.ragged:
            return {}
        assigned = self.assignments(seed)
        return {
            "arrivals": Operand(assigned.token * self.top_k + assigned.slot, "int64"),
            "arrived_experts": Operand(assigned.expert.copy(), "int64"),
        }


@lru_cache(maxsize=SHARES_KEPT)
def _kept_share(case: RoutedKernel, seed: int) -> Share:
    return case.share(seed)


@lru_cache(maxsize=LOADS_KEPT)
def _kept_load(case: RoutedKernel, seed: int) -> tuple[NDArray[np.int64], Load]:
    share, kept = case._share(seed), case.kept(seed)
    expert = share.assignments.expert
    counts = np.bincount(expert[kept], minlength=case.local_experts)
    counts.flags.writeable = False
    return counts, expert_load(
        np.bincount(expert, minlength=case.local_experts),
        dropped=len(expert) - int(kept.sum()),
        sha256=share.routing_sha256,
        device_load=share.device_load,
    )
