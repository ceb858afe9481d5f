"""Projects the inference of a model: tokens a second of prefill and decode, and whether it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.attention import (
    AttentionWork,
    decode_attention,
    kept_bytes,
    prefill_attention,
)
from bench.analysis.estimate import Estimate
from bench.analysis.projection import (
    Row,
    bytes_each,
    measured_layers,
    rest_parameters,
    step,
    total_size,
)
from bench.catalog.chip_table import Chip
from bench.catalog.models import Model
from bench.errors import UsageError

Phase = Literal["prefill", "decode"]


@dataclass(frozen=True)
class InferencePlan:
    """What is asked: tokens per chip and step of prefill, sequences per chip that decode at once.

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
class MeasuredLayers:
    """The layers that a projection rests on, and the rates that the rest of the model runs at."""

    kernel: str
    tokens: tuple[int, ...]
    expert_parallel: int
    sources: tuple[str, ...]
    matmul_tflops: float
    memory_gbps: float


@dataclass(frozen=True)
class InferenceProjection:
    """Projected inference. Memory is per chip, in GB; `fits` is None where the chip's is not known."""

    model: str
    chip: str
    plan: InferencePlan
    phases: tuple[PhaseProjection, ...]
    weights_gb: float
    cache_gb: float
    memory_gb: float | None
    cache_bytes_per_sequence: float
    rest_parameters: float
    measured: MeasuredLayers

    @property
    def fits(self) -> bool | None:
        """Whether weights, keys and values fit into a chip's memory."""
        if self.memory_gb is None:
            return None
        return self.weights_gb + self.cache_gb <= self.memory_gb


def project_inference(
    model_id: str, model: Model, chip: Chip, plan: InferencePlan, rows: Sequence[Row]
) -> InferenceProjection:
    """Return the projection from the measured layers in `rows`. Raises UsageError where there are none."""
    if plan.kv_bytes is not None and plan.context is None:
        raise UsageError("--kv-bytes: needs --context")
    layers = measured_layers(rows, model_id, chip.id, plan.dtype)
    phases = []
    asked: tuple[tuple[Phase, int | None], ...] = (
        ("prefill", plan.prefill),
        ("decode", plan.decode),
    )
    for phase, tokens in asked:
        if tokens is None:
            continue
        one = step(layers, model, tokens, _attention(model, plan, phase, tokens))
        attention = one.attention_s / one.time_s if plan.context is not None else None
        share = one.layers_s / one.time_s
        phases.append(PhaseProjection(phase, one.tokens_per_s, share, attention))
    row = next(iter(layers.rows.values()))
    sources = sorted({str(each["source"] or each["file"]) for each in layers.rows.values()})
    cache = _cache_bytes(model, plan)
    return InferenceProjection(
        model=model_id,
        chip=chip.id,
        plan=plan,
        phases=tuple(phases),
        weights_gb=total_size(model) * bytes_each(plan.dtype) / plan.chips / 1e9,
        cache_gb=cache * (plan.decode or 1) / 1e9,
        memory_gb=chip.memory_gb,
        cache_bytes_per_sequence=cache,
        rest_parameters=rest_parameters(layers, model),
        measured=MeasuredLayers(
            kernel=str(row["kernel"]),
            tokens=tuple(sorted(layers.rows)),
            expert_parallel=int(str(row["expert_parallel"] or 1)),
            sources=tuple(sources),
            matmul_tflops=layers.matmul_tflops,
            memory_gbps=layers.memory_gbps,
        ),
    )


def _attention(model: Model, plan: InferencePlan, phase: Phase, tokens: int) -> AttentionWork:
    """Return the work of a step's attention; none without a context."""
    if plan.context is None:
        return AttentionWork()
    if phase == "prefill":
        return prefill_attention(model, tokens, plan.context)
    return decode_attention(model, tokens, plan.context, plan.kv_bytes)


def _cache_bytes(model: Model, plan: InferencePlan) -> float:
    """Return the bytes of keys and values of one sequence."""
    if plan.context is None:
        return 0.0
    if plan.kv_bytes is not None:
        return float(plan.context * plan.kv_bytes)
    return kept_bytes(model, plan.context)
