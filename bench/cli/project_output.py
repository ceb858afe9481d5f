"""What `bench project` shows: each quantity with its interval, then every assumption behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from bench.analysis.estimate import Estimate
from bench.analysis.inference import InferenceProjection
from bench.analysis.training import TrainingPlan, TrainingProjection
from bench.catalog.chips import get_chip
from bench.catalog.models import Model, assumed_shapes, get_model
from bench.cli.assumptions import assumption_table
from bench.text.document import Document, Heading, Table, TableColumn
from bench.text.format import percent_with_interval, with_interval

Assumptions = Iterator[tuple[str, str]]

# The columns of the CSV output; training has no phases.
RECORD = ("phase", "quantity", "value", "low", "high")


def projection_document(projection: TrainingProjection | InferenceProjection) -> Document:
    """Return a projection for people and for other programs."""
    model, chip, plan = get_model(projection.model), get_chip(projection.chip), projection.plan
    on = f"{model.name} on {plan.chips} × {chip.title}, {plan.dtype}"
    if isinstance(projection, TrainingProjection):
        title, quantities = f"Training {on}", _training_quantities(projection)
        about = _training_assumptions(projection)
    else:
        title, quantities = f"Inference of {on}", _inference_quantities(projection)
        about = _inference_assumptions(projection, model)
    assumptions = [*shape_assumptions(projection.model, model), *about]
    columns = [TableColumn("quantity", "left"), TableColumn("value", "left", wraps=True)]
    return Document(
        blocks=[
            Heading(title),
            Table(columns, quantities),
            Heading("Assumptions"),
            assumption_table(assumptions),
        ],
        records=_records(projection),
        data=lambda: {**asdict(projection), "assumptions": [text for _, text in assumptions]},
    )


def _records(
    projection: TrainingProjection | InferenceProjection,
) -> Iterator[Sequence[object]]:
    """Yield the column names, then one record per quantity."""
    yield RECORD
    if isinstance(projection, TrainingProjection):
        for name, estimate in _estimates(projection).items():
            if estimate is not None:
                yield [None, name, estimate.value, estimate.low, estimate.high]
        return
    for each in projection.phases:
        for name in ("tokens_per_s", "layers_share", "attention_share"):
            estimate = getattr(each, name)
            if estimate is not None:
                yield [each.phase, name, estimate.value, estimate.low, estimate.high]
    for name in ("weights_gb", "cache_gb"):
        yield [None, name, *[getattr(projection, name)] * 3]


def _estimates(projection: TrainingProjection) -> dict[str, Estimate | None]:
    """Return the quantities of a training run by the names of their fields."""
    names = ("tokens_per_s", "days", "chip_hours", "chips_for_deadline", "over_published")
    return {name: getattr(projection, name) for name in names}


def _training_quantities(projection: TrainingProjection) -> list[tuple[str, str]]:
    plan = projection.plan
    published = plan.published[0] if plan.published else ""
    titles = {
        "tokens_per_s": "tokens per second",
        "days": "days",
        "chip_hours": "chip-hours",
        "chips_for_deadline": f"chips for {plan.deadline_days or 0:g} days",
        "over_published": f"projected over published {published}",
    }
    return [
        (titles[name], with_interval(estimate))
        for name, estimate in _estimates(projection).items()
        if estimate is not None
    ]


def _training_assumptions(projection: TrainingProjection) -> Assumptions:
    plan, measured = projection.plan, projection.measured
    yield (
        "FLOPs",
        f"{projection.flops_per_token / 1e9:.4g} GFLOP per token: 6 × "
        f"{projection.active_parameters / 1e9:.4g} billion active parameters (arXiv 2001.08361), "
        f"{_training_attention(plan)}; nothing computed twice",
    )
    yield "peak", f"{projection.peak_tflops:g} TFLOP/s per chip: {projection.peak_source}"
    origin = "as given"
    if measured is not None:
        gradients = measured.passes == "forward_backward"
        origin = (
            f"that of one layer {'with its gradients' if gradients else 'in the forward pass'} at "
            f"{measured.tokens} tokens per chip, measured by {measured.layer_text} "
            f"({measured.source}); what a whole run loses beside it is for the efficiency to say"
        )
    yield "utilization", f"{percent_with_interval(projection.utilization)}, {origin}"
    yield (
        "efficiency",
        f"{percent_with_interval(plan.efficiency)} is left by communication and waiting, as given, the "
        "same for any number of chips",
    )
    yield "memory", _training_memory(projection)
    if plan.tokens:
        yield "data", f"{plan.tokens:.4g} tokens, each seen once, without restarts"


def _training_attention(plan: TrainingPlan) -> str:
    if plan.sequence is None:
        return "no attention (give --sequence to count it)"
    width = "by the model's shape"
    if plan.attention_width is not None:
        width = f"width {plan.attention_width}, as given"
    kind = "causal" if plan.causal else "full"
    return f"{kind} attention over sequences of {plan.sequence} tokens, {width}"


def _training_memory(projection: TrainingProjection) -> str:
    of = "; the chip's is not known"
    if projection.memory_gb is not None:
        of = f" of {projection.memory_gb:g} GB"
    return (
        f"{projection.weights_gb:.4g} GB of weights per chip{of}, evenly spread; gradients, optimizer "
        "and activations are not counted"
    )


def _inference_quantities(projection: InferenceProjection) -> list[tuple[str, str]]:
    quantities = []
    for each in projection.phases:
        quantities += [
            (f"{each.phase}, tokens per second and chip", with_interval(each.tokens_per_s)),
            (f"{each.phase}, share of the MoE layers", percent_with_interval(each.layers_share)),
        ]
        if each.attention_share is not None:
            share = percent_with_interval(each.attention_share)
            quantities.append((f"{each.phase}, share of attention", share))
    return [*quantities, ("memory per chip", _inference_memory(projection))]


def _inference_memory(projection: InferenceProjection) -> str:
    text = f"{projection.weights_gb:.4g} GB of weights + {projection.cache_gb:.4g} GB of keys and values"
    if projection.memory_gb is None:
        return f"{text}; the chip's is not known"
    return f"{text} of {projection.memory_gb:g} GB"


def _inference_assumptions(projection: InferenceProjection, model: Model) -> Assumptions:
    measured, chips = projection.measured, projection.plan.chips
    sharing = measured.expert_parallel
    copies = chips // sharing
    weights = f"{projection.experts_gb:.4g} GB of routed experts"
    others = f"{projection.weights_gb - projection.experts_gb:.4g} GB of all other weights"
    if sharing == 1:
        yield "chips", f"each holds the whole model: {weights} and {others}"
    else:
        several = f"{copies} × {sharing} chips" if copies > 1 else f"{sharing} chips"
        yield "chips", f"{several} share the experts; each holds {weights} and {others}"
    yield (
        "layers",
        f"{model.moe_layers} equal mixture-of-experts layers, measured by {measured.layer_text}, at "
        f"{', '.join(map(str, measured.tokens))} tokens per chip, and interpolated on logarithmic axes",
    )
    for source in measured.sources:
        yield "source", source
    yield (
        "the rest",
        f"the other {projection.rest_parameters / 1e9:.3g} billion active parameters at the best rates "
        f"of this chip in these rows: {measured.matmul_tflops:.4g} TFLOP/s, "
        f"{measured.memory_gbps:.4g} GB/s",
    )
    yield "attention", _keys_and_values(projection)
    yield "left out", "communication, sampling, memory for activations and libraries"


def _keys_and_values(projection: InferenceProjection) -> str:
    plan = projection.plan
    if plan.context is None:
        return "over keys and values left out, and their memory (give --context)"
    origin = "by the model's shape, in bfloat16"
    if plan.kv_bytes is not None:
        origin = f"{plan.kv_bytes} per token, as given"
    return (
        f"{projection.cache_bytes_per_sequence / 1e6:.4g} MB of keys and values of {plan.context} "
        f"tokens per sequence ({origin}), read once per step of decoding; prompts of as many tokens in "
        "prefill; the products of attention at the same rate"
    )


def shape_assumptions(model_id: str, model: Model) -> Assumptions:
    """Yield what is not published of a model: its shape, its size."""
    for sentence in assumed_shapes([model_id]):
        yield "shape", sentence
    if model.active_params_b is None:
        yield "size", "the number of active parameters is not published: counted from the shape"
