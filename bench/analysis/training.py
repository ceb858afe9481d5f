"""Projects the training of a model: tokens per second, days and chip-hours, with what they assume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from bench.analysis.attention import forward_attention_flops, uniform_attention_flops
from bench.analysis.deployment import (
    Deployment,
    bytes_each,
    measure_text,
    refusal,
    total_size,
)
from bench.analysis.estimate import Estimate, exactly
from bench.analysis.layers import LayerKind, Layers, Row, measured_layers
from bench.analysis.projection import active_size, train, training_flops_per_token
from bench.analysis.quantities import DAYS, check_range
from bench.analysis.row_estimates import row_estimate
from bench.catalog.chip_table import Chip
from bench.catalog.models import Model
from bench.errors import UsageError, one_of
from bench.kernels.moe.shape import SCALED

Passes = Literal["forward", "forward_backward"]
PASSES: tuple[Passes, ...] = ("forward_backward", "forward")
ONE = exactly(1)

# Tokens per chip that a suggested measurement takes: a step of training has thousands.
MEASURED_TOKENS = (4096, 16384)

# What a plan can hold against a published value.
QUANTITIES = ("tokens-per-s", "days", "chip-hours")


@dataclass(frozen=True)
class TrainingPlan:
    """A plan to train a model: `utilization` is a share of the peak, by default that of measured layers.

    `efficiency` is what communication and waiting leave of it. Attention counts with a `sequence` in
    tokens; `attention_width` is heads × (width of a query + of a value), by default the model's.
    `published` is the name of a quantity (QUANTITIES) and what was published of it.
    """

    chips: int
    dtype: str = "bfloat16"
    tokens: float | None = None
    utilization: Estimate | None = None
    efficiency: Estimate = ONE
    deadline_days: float | None = None
    sequence: int | None = None
    attention_width: int | None = None
    causal: bool = True
    published: tuple[str, Estimate] | None = None


@dataclass(frozen=True)
class MeasuredUtilization(LayerKind):
    """The layer that a utilization was measured of; `source` is a publication or a file."""

    passes: Passes
    tokens: int
    source: str


@dataclass(frozen=True)
class TrainingProjection:
    """A projected training run. `measured` is None where the utilization was given.

    `tokens_per_s` is of all chips together, `weights_gb` of one, evenly spread. Days and chip-hours need a
    number of tokens, and `chips_for_deadline` and `over_published` a plan that asks for them.
    """

    model: str
    chip: str
    plan: TrainingPlan
    tokens_per_s: Estimate
    days: Estimate | None
    chip_hours: Estimate | None
    chips_for_deadline: Estimate | None
    over_published: Estimate | None
    active_parameters: float
    flops_per_token: float
    weights_gb: float
    memory_gb: float | None
    peak_tflops: float
    peak_source: str
    utilization: Estimate
    measured: MeasuredUtilization | None


def project_training(
    model: Model, chip: Chip, plan: TrainingPlan, rows: Sequence[Row]
) -> TrainingProjection:
    """Return the projection; `rows` are needed where the plan has no utilization. Raises UsageError."""
    limits = chip.limits(plan.dtype)
    if limits.peak_tflops is None:
        raise UsageError(f"--chip {chip.id}: no peak in {plan.dtype} is known")
    if plan.attention_width is not None and plan.sequence is None:
        raise UsageError("--attention-width: needs --sequence")
    if plan.deadline_days is not None:
        check_range(plan.deadline_days, "--days", DAYS)
    weights_gb = _weights_gb(model, chip, plan)
    flops = training_flops_per_token(active_size(model), _attention_flops(model, plan))
    utilization, measured = plan.utilization, None
    if utilization is None:
        deployment = Deployment(model, plan.dtype, chip.id, chip.memory_gb, plan.chips)
        utilization, measured = _measured_utilization(deployment, rows)
    run = train(
        flops,
        peak_tflops=limits.peak_tflops,
        chips=plan.chips,
        utilization=utilization,
        efficiency=plan.efficiency,
        tokens=plan.tokens,
    )
    chips_needed = None
    if plan.deadline_days is not None:
        chips_needed = run.chips_for(plan.deadline_days)
        if chips_needed is None:
            raise UsageError("--days: needs --tokens")
    quantities = dict(zip(QUANTITIES, (run.tokens_per_s, run.days, run.chip_hours), strict=True))
    return TrainingProjection(
        model=model.id,
        chip=chip.id,
        plan=plan,
        tokens_per_s=run.tokens_per_s,
        days=run.days,
        chip_hours=run.chip_hours,
        chips_for_deadline=chips_needed,
        over_published=_over_published(quantities, plan),
        active_parameters=active_size(model),
        flops_per_token=flops,
        weights_gb=weights_gb,
        memory_gb=chip.memory_gb,
        peak_tflops=limits.peak_tflops,
        peak_source=str(limits.peak_source),
        utilization=utilization,
        measured=measured,
    )


def _attention_flops(model: Model, plan: TrainingPlan) -> float:
    """Return the FLOPs of a token's attention in a forward pass; none without a sequence."""
    if plan.sequence is None:
        return 0.0
    if plan.attention_width is None:
        return forward_attention_flops(model, plan.sequence, causal=plan.causal)
    return uniform_attention_flops(
        model.layers, plan.sequence, plan.attention_width, causal=plan.causal
    )


def _weights_gb(model: Model, chip: Chip, plan: TrainingPlan) -> float:
    """Return the weights of each chip. Raises UsageError if all chips together do not hold them."""
    weights_gb = total_size(model) * bytes_each(plan.dtype) / 1e9
    if chip.memory_gb is not None and weights_gb > plan.chips * chip.memory_gb:
        raise UsageError(
            f"--chips: {plan.chips} × {chip.id} with {chip.memory_gb:g} GB do not hold the "
            f"{weights_gb:.4g} GB of weights of {model.id} in {plan.dtype}; expected at least "
            f"{math.ceil(weights_gb / chip.memory_gb)}"
        )
    return weights_gb / plan.chips


def _measured_utilization(
    deployment: Deployment, rows: Sequence[Row]
) -> tuple[Estimate, MeasuredUtilization]:
    """Return the highest utilization of the measured layers, and which layer has it.

    Layers with their gradients go before those of a forward pass alone.
    """
    every: list[Layers] = []
    for passes in PASSES:
        layers = measured_layers(rows, deployment.model, deployment.chip, deployment.dtype, passes)
        every += layers
        for each in layers:
            used = {n: row for n, row in each.rows.items() if row["utilization"]}
            if used and _trains(each, deployment):
                shares = {n: row_estimate(row, "utilization") for n, row in used.items()}
                tokens = max(shares, key=lambda count: shares[count].value)
                source = str(used[tokens]["source"] or used[tokens]["file"])
                kind = asdict(each.kind)
                return shares[tokens], MeasuredUtilization(
                    **kind, passes=passes, tokens=tokens, source=source
                )
    if any(_trains(each, deployment) for each in every):
        raise UsageError("the measured layers have no utilization; give --utilization")
    raise UsageError(f"{refusal(every, deployment)}; give --utilization, or {_how_to(deployment)}")


def _trains(layers: Layers, deployment: Deployment) -> bool:
    """Whether layers are of a deployment that trains.

    A pipeline may divide the layers among more chips than share the experts, so memory does not limit
    how many do; but a model that one chip does not hold is not trained with all experts on one.
    """
    sharing = layers.kind.expert_parallel
    assert deployment.chips is not None
    return deployment.chips % sharing == 0 and (sharing > 1 or deployment.fits(1))


def _how_to(deployment: Deployment) -> str:
    """Return how to measure layers that train, with gradients where the format has some."""
    experts = deployment.model.experts
    sharing = deployment.smallest_sharing() or math.gcd(deployment.chips or experts, experts)
    if sharing == 1 and not deployment.fits(1):
        return f"a number of chips that has a divisor in common with {experts} experts"
    passes = "forward" if deployment.dtype in SCALED else "forward_backward"
    return measure_text(deployment, MEASURED_TOKENS, sharing, passes)


def _over_published(quantities: dict[str, Estimate | None], plan: TrainingPlan) -> Estimate | None:
    """Return a projected quantity over what was published of it."""
    if plan.published is None:
        return None
    name, published = plan.published
    if name not in quantities:
        raise UsageError(f"--published: unknown quantity {name!r}{one_of(name, quantities)}")
    projected = quantities[name]
    if projected is None:
        raise UsageError(f"--published {name}: needs --tokens")
    return projected / published
