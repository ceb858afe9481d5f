"""Projects the inference of a model: tokens per second of prefill and decode, on chips that hold it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from bench.analysis.attention import (
    AttentionWork,
    decode_attention,
    kept_bytes,
    prefill_attention,
)
from bench.analysis.deployment import Deployment, measure_text, refusal
from bench.analysis.estimate import Estimate, exactly
from bench.analysis.layers import LayerKind, Layers, Row, measured_layers
from bench.analysis.projection import rest_parameters, step
from bench.catalog.chip_table import Chip
from bench.catalog.models import Model
from bench.errors import UsageError

Phase = Literal["prefill", "decode"]


@dataclass(frozen=True)
class InferencePlan:
    """A plan to serve a model: tokens per chip and step of prefill, sequences per chip that decode at once.

    Attention counts with a `context` in tokens: of a prompt, or before the next token. `kv_bytes` are the
    bytes of keys and values per token, by default those of the model's shape.
    """

    chips: int
    dtype: str = "bfloat16"
    prefill: int | None = None
    decode: int | None = None
    context: int | None = None
    kv_bytes: int | None = None


@dataclass(frozen=True)
class PhaseProjection:
    """One phase: tokens per second and chip, and the shares of its time."""

    phase: Phase
    tokens_per_s: Estimate
    layers_share: Estimate
    attention_share: Estimate | None


@dataclass(frozen=True)
class MeasuredLayers(LayerKind):
    """The layers that a projection rests on, and the rates that the rest of the model runs at."""

    tokens: tuple[int, ...]
    sources: tuple[str, ...]
    matmul_tflops: float
    memory_gbps: float


@dataclass(frozen=True)
class InferenceProjection:
    """Projected inference. Memory is per chip, in GB; `fits` is None where the chip's is not known.

    `weights_gb` has the routed experts of one chip, `experts_gb`, and all other weights.
    """

    model: str
    chip: str
    plan: InferencePlan
    phases: tuple[PhaseProjection, ...]
    weights_gb: float
    experts_gb: float
    cache_gb: float
    memory_gb: float | None
    fits: bool | None
    cache_bytes_per_sequence: float
    rest_parameters: float
    measured: MeasuredLayers


def project_inference(
    model: Model, chip: Chip, plan: InferencePlan, rows: Sequence[Row]
) -> InferenceProjection:
    """Return the projection from the measured layers in `rows`.

    Raises UsageError where the chips do not hold the model, and where no row is of such a deployment.
    """
    if plan.kv_bytes is not None and plan.context is None:
        raise UsageError("--kv-bytes: needs --context")
    deployment = Deployment(model, plan.dtype, chip.id, chip.memory_gb, plan.chips)
    sequence_bytes = _sequence_bytes(model, plan)
    deployment.check_memory(_sequences(plan), sequence_bytes)
    cache_bytes = _sequences(plan) * sequence_bytes
    layers = _layers(deployment, plan, cache_bytes, rows)
    memory = deployment.memory(layers.kind.expert_parallel, cache_bytes)
    phases = [_project_phase(layers, model, plan, phase) for phase in _tokens(plan)]
    sources = sorted({str(row["source"] or row["file"]) for row in layers.rows.values()})
    return InferenceProjection(
        model=model.id,
        chip=chip.id,
        plan=plan,
        phases=tuple(phases),
        weights_gb=memory.weights_gb,
        experts_gb=memory.experts_gb,
        cache_gb=memory.cache_gb,
        memory_gb=memory.chip_gb,
        fits=memory.fits,
        cache_bytes_per_sequence=sequence_bytes,
        rest_parameters=rest_parameters(layers, model),
        measured=MeasuredLayers(
            **asdict(layers.kind),
            tokens=tuple(sorted(layers.rows)),
            sources=tuple(sources),
            matmul_tflops=layers.matmul_tflops,
            memory_gbps=layers.memory_gbps,
        ),
    )


def prompts_of(tokens: int, context: int) -> int:
    """Return the prompts of `context` tokens that a step of prefill works on, the last one cut."""
    return math.ceil(tokens / context)


def _tokens(plan: InferencePlan) -> dict[Phase, int]:
    """Return the tokens of a step of each phase that was asked for."""
    asked: dict[Phase, int | None] = {"prefill": plan.prefill, "decode": plan.decode}
    return {phase: tokens for phase, tokens in asked.items() if tokens is not None}


def _sequences(plan: InferencePlan) -> int:
    """Return the sequences whose keys and values a chip holds at the same time, in either phase."""
    if plan.context is None:
        return 0
    return max(plan.decode or 0, prompts_of(plan.prefill or 0, plan.context))


def _layers(
    deployment: Deployment, plan: InferencePlan, cache_bytes: float, rows: Sequence[Row]
) -> Layers:
    """Return the preferred layers that are of the deployment and cover the plan's tokens."""
    tokens = _tokens(plan).values()
    layers = measured_layers(rows, deployment.model, deployment.chip, plan.dtype)
    fitting = [each for each in layers if deployment.fits(each.kind.expert_parallel, cache_bytes)]
    covering = [each for each in fitting if all(each.covers(count) for count in tokens)]
    if covering:
        return covering[0]
    sharing: int | None
    if fitting:
        sharing = fitting[0].kind.expert_parallel
        reason = next(fitting[0].outside(n) for n in tokens if not fitting[0].covers(n))
    else:
        sharing = deployment.smallest_sharing(cache_bytes)
        reason = refusal(layers, deployment, cache_bytes)
    raise UsageError(f"{reason}; {measure_text(deployment, tokens, sharing)}")


def _project_phase(
    layers: Layers, model: Model, plan: InferencePlan, phase: Phase
) -> PhaseProjection:
    tokens = _tokens(plan)[phase]
    one = step(layers, model, tokens, _attention(model, plan, phase, tokens))
    layers_share = _share(one.layers_s, one.rest_s + one.attention_s)
    attention_share = None
    if plan.context is not None:
        attention_share = _share(one.attention_s, one.rest_s + one.layers_s)
    return PhaseProjection(phase, one.tokens_per_s, layers_share, attention_share)


def _share(part: Estimate, others: Estimate) -> Estimate:
    """Return part / (part + others), with each interval used once."""
    if part.value == 0:
        return exactly(0)
    return exactly(1) / (exactly(1) + others / part)


def _attention(model: Model, plan: InferencePlan, phase: Phase, tokens: int) -> AttentionWork:
    """Return the work of a step's attention; none without a context."""
    if plan.context is None:
        return AttentionWork()
    if phase == "prefill":
        return prefill_attention(model, tokens, plan.context)
    return decode_attention(model, tokens, plan.context, plan.kv_bytes)


def _sequence_bytes(model: Model, plan: InferencePlan) -> float:
    """Return the bytes of keys and values of one sequence."""
    if plan.context is None:
        return 0.0
    if plan.kv_bytes is not None:
        return float(plan.context * plan.kv_bytes)
    return kept_bytes(model, plan.context)
