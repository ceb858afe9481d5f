"""Prints the tables of all models in docs/models.md: shapes, and sizes as published and as counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from bench.analysis.attention import kept_bytes
from bench.catalog.attention import Attention
from bench.catalog.model_size import active_parameters, total_parameters
from bench.catalog.models import ASSUMED, Model, load_models

CONTEXT = 4096
# A published size that is farther from the count than this has too few digits to be nearer.
TOLERANCE = 0.02

SHAPES = ("model", "layers", "hidden", "experts", "gate", "attention", f"kB/token of {CONTEXT}")
SIZES = ("model", "vocabulary", "total", "counted", "with", "active", "counted", "with")


def lines() -> Iterator[str]:
    """Yield both tables in Markdown."""
    for header, cells in ((SHAPES, shape_cells), (SIZES, size_cells)):
        yield row(header)
        yield row(["---"] * len(header))
        for name, model in load_models().items():
            footnote = "" if model.status == "published" else " \\*"
            yield row([f"`{name}`{footnote}", *cells(model)])
        yield ""
    yield f"\\* {ASSUMED}. † The published size has one or two digits."


def row(texts: Iterable[str]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(texts)} |"


def shape_cells(model: Model) -> list[str]:
    """Return the cells of a model's shape."""
    kept = kept_bytes(model, CONTEXT) / CONTEXT / 1e3
    return [
        layers(model),
        str(model.hidden),
        experts(model),
        gate(model),
        ", ".join(attention(model)),
        f"{kept:.1f}",
    ]


def size_cells(model: Model) -> list[str]:
    """Return a model's sizes in billions, published and counted."""
    vocabulary = f"{model.vocabulary}{', tied' if model.tied else ''}"
    sizes = (
        (model.total_params_b, total_parameters(model), model.total_counts),
        (model.active_params_b, active_parameters(model), model.active_counts),
    )
    cells = [vocabulary]
    for published, parameters, embeddings in sizes:
        text = "–" if published is None else f"{published:g}"
        cells += [text, counted(parameters, published), embeddings.replace("_", " ")]
    return cells


def layers(model: Model) -> str:
    """Return how many layers have experts, and how many a dense MLP."""
    place = {"first": "dense", "interleaved": "dense between", "beside": "dense beside"}
    dense = (
        f" + {model.dense_layers} {place[model.dense_place]} of {model.dense_intermediate}"
        if model.dense_layers
        else ""
    )
    return f"{model.moe_layers}{dense}"


def experts(model: Model) -> str:
    """Return the number and width of experts, shared and zero experts, and the activation."""
    zero = f" + {model.zero_experts} zero" if model.zero_experts else ""
    text = f"{model.top_k} of {model.experts} × {model.intermediate}{zero}"
    if model.shared_experts:
        text += f", {model.shared_experts} shared ({model.shared_intermediate})"
    if model.expert_hidden:
        text += f", latent {model.expert_hidden}"
    return f"{text}, {'' if model.gated else 'not gated, '}{model.activation}"


def gate(model: Model) -> str:
    """Return how experts are chosen."""
    grouped = f", {model.topk_groups} of {model.groups} groups" if model.groups > 1 else ""
    biased = ", bias" if model.correction_bias else ""
    return f"{model.gate}{grouped}{biased}"


def attention(model: Model) -> Iterator[str]:
    """Yield each kind of attention with the number of its layers."""
    layers_by_kind: Counter[str] = Counter()
    for kind in model.attention:
        layers_by_kind[described(kind)] += kind.layers
    yield from (f"{count} {name}" for name, count in layers_by_kind.items())


def described(kind: Attention) -> str:
    """Return a kind in a few words."""
    fields = kind.model_dump()
    name: str = fields.get("rule", fields["kind"])
    if fields.get("ratio"):
        return f"{name} {fields['ratio']}:1"
    if fields.get("window"):
        return f"{name} window {fields['window']}"
    return f"{name} indexed" if fields.get("index_keys") else name


def counted(parameters: int, published_b: float | None) -> str:
    """Return a counted size, and by how much it differs from the published one."""
    text = f"{parameters / 1e9:.2f}"
    if published_b is None:
        return text
    difference = parameters / (published_b * 1e9) - 1
    footnote = " †" if abs(difference) > TOLERANCE else ""
    return f"{text} ({difference:+.1%}){footnote}"


if __name__ == "__main__":
    print("\n".join(lines()))
