"""The formulas of projections: the rate of a training run, and the time of a step of inference.

Training takes 6·N FLOPs per token for N active parameters: two per parameter forward and four backward
(Kaplan et al. 2020, arXiv 2001.08361, section 2.1). Attention adds three times its forward FLOPs
(bench.analysis.attention). Recomputation to save memory does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.attention import AttentionWork
from bench.analysis.deployment import bytes_each, expert_parameters
from bench.analysis.estimate import Estimate, exactly
from bench.analysis.layers import Layers
from bench.catalog.model_size import active_parameters
from bench.catalog.models import Model

SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True)
class Training:
    """A training run: `tokens_per_s` of all chips together, and what follows for a number of tokens."""

    flops_per_token: float
    tokens_per_s: Estimate
    chips: int
    tokens: float | None

    @property
    def days(self) -> Estimate | None:
        """Days for all tokens."""
        if self.tokens is None:
            return None
        return exactly(self.tokens) / self.tokens_per_s / exactly(SECONDS_PER_DAY)

    @property
    def chip_hours(self) -> Estimate | None:
        """Hours of all chips together."""
        return self.days and self.days * exactly(24 * self.chips)

    def chips_for(self, days: float) -> Estimate | None:
        """Return the chips that finish within some days, if the efficiency stays what it is."""
        return self.days and self.days * exactly(self.chips / days)


def training_flops_per_token(active_parameters: float, attention_flops: float = 0.0) -> float:
    """Return the FLOPs of one token, forward and backward; `attention_flops` are its forward ones."""
    return 6 * active_parameters + 3 * attention_flops


def train(
    flops_per_token: float,
    *,
    peak_tflops: float,
    chips: int,
    utilization: Estimate,
    efficiency: Estimate,
    tokens: float | None,
) -> Training:
    """Return what a run achieves: chips × peak × utilization × efficiency over a token's FLOPs."""
    rate = exactly(peak_tflops * 1e12 * chips) * utilization * efficiency
    return Training(flops_per_token, rate / exactly(flops_per_token), chips, tokens)


@dataclass(frozen=True)
class Step:
    """One pass of `tokens` through all layers on one chip."""

    tokens: int
    layers_s: Estimate
    rest_s: Estimate
    attention_s: Estimate

    @property
    def time_s(self) -> Estimate:
        """The sum: nothing overlaps."""
        return self.layers_s + self.rest_s + self.attention_s

    @property
    def tokens_per_s(self) -> Estimate:
        """Tokens per second and chip."""
        return exactly(self.tokens) / self.time_s


def step(layers: Layers, model: Model, tokens: int, attention: AttentionWork | None = None) -> Step:
    """Return the time of all mixture-of-experts layers, and of the rest of the model by a roofline.

    The rest are the active parameters outside of the measured layers: two FLOPs per parameter and token,
    and each is read once per step. `attention` is the work beyond parameters.
    """
    rest = rest_parameters(layers, model)
    work = attention or AttentionWork()
    return Step(
        tokens=tokens,
        layers_s=layers.time_s(tokens) * exactly(model.moe_layers),
        rest_s=_roofline(layers, 2 * rest * tokens, rest * bytes_each(layers.dtype)),
        attention_s=_roofline(layers, work.flops, work.read_bytes),
    )


def rest_parameters(layers: Layers, model: Model) -> float:
    """Return the active parameters that the measured layers do not have.

    Rows of `moe_layer` have the router, shared experts and projections of latent experts, those of
    `moe_experts` only the routed experts.
    """
    one = model.computing_experts * expert_parameters(model)
    if layers.kind.kernel == "moe_layer":
        matrices = 3 if model.gated else 2
        one += (
            model.hidden * model.scored_experts
            + matrices * model.hidden * model.shared_intermediate
        )
        one += 2 * model.hidden * (model.expert_hidden or 0)
    return max(0.0, active_size(model) - model.moe_layers * one)


def active_size(model: Model) -> float:
    """Return the active parameters as published, or where nobody says, as counted from the shape."""
    return 1e9 * model.active_params_b if model.active_params_b else active_parameters(model)


def _roofline(layers: Layers, flops: float, read_bytes: float) -> Estimate:
    """Return the time that products or memory bound, whichever takes longer."""
    compute = flops / (layers.matmul_tflops * 1e12)
    memory = read_bytes / (layers.memory_gbps * 1e9)
    return exactly(max(compute, memory))
