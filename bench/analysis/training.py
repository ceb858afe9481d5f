"""Projects the training of a model: tokens a second, days and chip-hours, with what they assume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.attention import forward_attention_flops, uniform_attention_flops
from bench.analysis.estimate import Estimate, exactly
from bench.analysis.projection import (
    Row,
    active_size,
    measured_layers,
    train,
    training_flops_per_token,
)
from bench.analysis.row_estimates import row_estimate
from bench.catalog.chip_table import Chip
from bench.catalog.models import Model
from bench.errors import UsageError, one_of

Passes = Literal["forward", "forward_backward"]
ONE = exactly(1)

# What a plan can hold against a published value.
QUANTITIES = ("tokens-per-s", "days", "chip-hours")


@dataclass(frozen=True)
class TrainingPlan:
    """What is asked: `utilization` is a share of the peak, by default that of the measured layers.

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
class MeasuredUtilization:
    """The layer that a utilization was measured of; `source` is a publication or a file."""

    passes: Passes
    tokens: int
    source: str


@dataclass(frozen=True)
class TrainingProjection:
    """A projected training run. `measured` is None where the utilization was given.

    `tokens_per_s` is of all chips together. Days and chip-hours need a number of tokens, and
    `chips_for_deadline` and `over_published` a plan that asks for them.
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
    peak_tflops: float
    peak_source: str
    utilization: Estimate
    measured: MeasuredUtilization | None


def project_training(
    model_id: str, model: Model, chip: Chip, plan: TrainingPlan, rows: Sequence[Row]
) -> TrainingProjection:
    """Return the projection; `rows` are needed where the plan has no utilization. Raises UsageError."""
    limits = chip.limits(plan.dtype)
    if limits.peak_tflops is None:
        raise UsageError(f"--chip {chip.id}: no peak in {plan.dtype} is known")
    if plan.attention_width is not None and plan.sequence is None:
        raise UsageError("--attention-width: needs --sequence")
    if plan.deadline_days is not None and not 0 < plan.deadline_days < 1e6:
        raise UsageError(f"--days: expected more than 0, got {plan.deadline_days:g}")
    flops = training_flops_per_token(active_size(model), _attention_flops(model, plan))
    utilization, measured = plan.utilization, None
    if utilization is None:
        utilization, measured = _measured_utilization(model_id, chip, plan, rows)
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
        model=model_id,
        chip=chip.id,
        plan=plan,
        tokens_per_s=run.tokens_per_s,
        days=run.days,
        chip_hours=run.chip_hours,
        chips_for_deadline=chips_needed,
        over_published=_over_published(quantities, plan),
        active_parameters=active_size(model),
        flops_per_token=flops,
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


def _measured_utilization(
    model_id: str, chip: Chip, plan: TrainingPlan, rows: Sequence[Row]
) -> tuple[Estimate, MeasuredUtilization]:
    """Return the highest utilization of the measured layers, and which layer has it.

    Layers with their gradients go before those of a forward pass alone.
    """
    trained = any(row["pass"] == "forward_backward" and row["model"] == model_id for row in rows)
    passes: Passes = "forward_backward" if trained else "forward"
    layers = measured_layers(rows, model_id, chip.id, plan.dtype, passes)
    by_tokens = {tokens: row for tokens, row in layers.rows.items() if row["utilization"]}
    if not by_tokens:
        raise UsageError("the measured layers have no utilization; give --utilization")
    shares = {tokens: row_estimate(row, "utilization") for tokens, row in by_tokens.items()}
    tokens = max(shares, key=lambda count: shares[count].value)
    best = by_tokens[tokens]
    return shares[tokens], MeasuredUtilization(passes, tokens, str(best["source"] or best["file"]))


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
