"""What `bench project` says: each quantity with its interval, then every assumption behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from bench.analysis.estimate import Estimate
from bench.analysis.inference import InferenceProjection
from bench.analysis.training import TrainingPlan, TrainingProjection
from bench.catalog.chip_table import Chip
from bench.catalog.chips import get_chip
from bench.catalog.models import Model, assumed_shapes, get_model
from bench.text.document import Document, Lines
from bench.text.format import with_interval


def projection_document(projection: TrainingProjection | InferenceProjection) -> Document:
    """Return a projection for people and for other programs."""
    model, chip = get_model(projection.model), get_chip(projection.chip)
    if isinstance(projection, TrainingProjection):
        title = f"Training {_on(projection, model, chip)}"
        quantities = _training_quantities(projection)
        assumptions = _training_assumptions(projection)
    else:
        title = f"Inference of {_on(projection, model, chip)}"
        quantities = _inference_quantities(projection)
        assumptions = _inference_assumptions(projection, model)
    assumptions = [*_shape_assumptions(projection.model, model), *assumptions]
    table = [f"{name:38} {value}" for name, value in quantities]
    return Document(
        blocks=[Lines([title, "", *table, "", "Assumptions", *assumptions])],
        data=lambda: _data(projection, assumptions),
    )


def _data(
    projection: TrainingProjection | InferenceProjection, assumptions: Sequence[str]
) -> dict[str, object]:
    """Return a projection by the names of its fields, each estimate as value, low and high."""
    sentences = [text.strip().removeprefix("- ") for text in assumptions]
    fits = {"fits": projection.fits} if isinstance(projection, InferenceProjection) else {}
    return {**asdict(projection), **fits, "assumptions": sentences}


def _on(projection: TrainingProjection | InferenceProjection, model: Model, chip: Chip) -> str:
    plan = projection.plan
    return f"{model.name} on {plan.chips} × {chip.title}, {plan.dtype}"


def _shape_assumptions(model_id: str, model: Model) -> list[str]:
    """Return what is not published of a model: its shape, its size."""
    lines = [f"- {sentence}" for sentence in assumed_shapes([model_id])]
    if model.active_params_b is None:
        lines.append("- the number of active parameters is not published: counted from the shape")
    return lines


def _training_quantities(projection: TrainingProjection) -> list[tuple[str, str]]:
    plan = projection.plan
    quantities: list[tuple[str, Estimate | None]] = [
        ("tokens a second", projection.tokens_per_s),
        ("days", projection.days),
        ("chip-hours", projection.chip_hours),
        (f"chips for {plan.deadline_days or 0:g} days", projection.chips_for_deadline),
        (
            f"projected over published {plan.published[0] if plan.published else ''}",
            projection.over_published,
        ),
    ]
    return [(name, with_interval(value)) for name, value in quantities if value is not None]


def _training_assumptions(projection: TrainingProjection) -> list[str]:
    plan, measured = projection.plan, projection.measured
    origin = "assumed"
    if measured is not None:
        passes = (
            "with its gradients" if measured.passes == "forward_backward" else "in the forward pass"
        )
        origin = (
            f"measured: one layer {passes} at {measured.tokens} tokens "
            f"({measured.source}), which no whole run exceeds"
        )
    lines = [
        f"- {projection.flops_per_token / 1e9:.4g} GFLOP a token: 6 × "
        f"{projection.active_parameters / 1e9:.4g} billion active parameters "
        f"(arXiv 2001.08361), {_training_attention(plan)}; nothing computed twice",
        f"- peak {projection.peak_tflops:g} TFLOP/s a chip: {projection.peak_source}",
        f"- utilization {with_interval(projection.utilization)}, {origin}",
        f"- parallel efficiency {with_interval(plan.efficiency)}, assumed, and the same for any "
        "number of chips",
    ]
    if plan.tokens:
        lines.append(f"- {plan.tokens:.4g} tokens, each seen once, without restarts")
    return lines


def _training_attention(plan: TrainingPlan) -> str:
    if plan.sequence is None:
        return "no attention (give --sequence to count it)"
    width = "by the model's shape"
    if plan.attention_width is not None:
        width = f"width {plan.attention_width}, as given"
    kind = "causal" if plan.causal else "full"
    return f"{kind} attention over sequences of {plan.sequence} tokens, {width}"


def _inference_quantities(projection: InferenceProjection) -> list[tuple[str, str]]:
    quantities = []
    for each in projection.phases:
        quantities += [
            (f"{each.phase}, tokens a second and chip", with_interval(each.tokens_per_s)),
            (f"{each.phase}, share of the MoE layers", with_interval(each.layers_share)),
        ]
        if each.attention_share is not None:
            share = with_interval(each.attention_share)
            quantities.append((f"{each.phase}, share of attention", share))
    return [*quantities, ("memory", _memory(projection))]


def _memory(projection: InferenceProjection) -> str:
    """Return whether weights, keys and values fit into a chip's memory."""
    weights, cache = projection.weights_gb, projection.cache_gb
    if projection.memory_gb is None:
        return f"{weights + cache:.4g} GB a chip; its size is not known"
    verdict = "fits" if projection.fits else "does not fit"
    return (
        f"{weights:.4g} GB of weights + {cache:.4g} GB of keys and values "
        f"of {projection.memory_gb:g} GB: {verdict}"
    )


def _inference_assumptions(projection: InferenceProjection, model: Model) -> list[str]:
    measured = projection.measured
    return [
        f"- {model.moe_layers} equal mixture-of-experts layers, measured by {measured.kernel} at "
        f"{', '.join(map(str, measured.tokens))} tokens, experts over "
        f"{measured.expert_parallel} device(s), and interpolated on logarithmic axes",
        *(f"  - {source}" for source in measured.sources),
        f"- the other {projection.rest_parameters / 1e9:.3g} billion active parameters at the best "
        f"rates of this chip in these rows: {measured.matmul_tflops:.4g} TFLOP/s, "
        f"{measured.memory_gbps:.4g} GB/s",
        f"- {_keys_and_values(projection)}",
        "- weights spread evenly over the chips; communication left out",
    ]


def _keys_and_values(projection: InferenceProjection) -> str:
    plan = projection.plan
    if plan.context is None:
        return "attention over keys and values left out (give --context)"
    origin = "by the model's shape, in bfloat16"
    if plan.kv_bytes is not None:
        origin = f"{plan.kv_bytes} a token, as given"
    return (
        f"{projection.cache_bytes_per_sequence / 1e6:.4g} MB of keys and values of {plan.context} "
        f"tokens a sequence ({origin}), read once a step of decoding; prompts of as many tokens in "
        "prefill; the products of attention at the same rate"
    )
