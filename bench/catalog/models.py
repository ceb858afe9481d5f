"""The shapes of mixture-of-experts models: those of models.yaml, each with its source, and the user's own.

`bench models import` adds the user's own to a file of the same form in their configuration folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from bench.catalog.attention_kinds import AnyAttention
from bench.errors import UsageError, one_of
from bench.yaml_files.source import key_text, read_yaml

# Which embeddings a published number of parameters includes: both matrices, only the output's (the
# input is a table lookup), or none.
Counted = Literal["all", "output", "no_embeddings"]

# The note on every figure of a rumored model.
ASSUMED = "rumored; its shape is an assumption"

# The fields that determine the work of one mixture-of-experts layer.
LAYER_FIELDS = (
    "hidden",
    "intermediate",
    "experts",
    "top_k",
    "shared_experts",
    "shared_intermediate",
    "expert_hidden",
    "activation",
    "gated",
    "gate",
    "groups",
    "topk_groups",
    "normalize",
    "scaling",
    "correction_bias",
    "zero_experts",
)


class Model(BaseModel):
    """A model's shape in the terms of the kernel moe_layer, and its size as published.

    `id` is its name in configs and result files, `aliases` are other releases with the same shape.
    `layers` counts blocks of attention and experts or, if each layer is only one of the two (Nemotron),
    the layers of either kind. `dense_layers` have one MLP of `dense_intermediate` in place of experts;
    they are the first ones, `interleaved` with the others, or run `beside` the experts.
    `expert_hidden` is the input and output width of routed experts if it differs from `hidden` (latent
    experts). Experts that are not `gated` have two matrices. `zero_experts` more experts return their
    token unchanged and are among its `top_k`. `total_params_b` and `active_params_b` are the published
    sizes in billions, with the published digits; `total_counts` and `active_counts` say which
    embeddings they include. `notes` says how a case of this shape differs from the model, and what
    else the published sizes include. docs/models.md describes every field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    aliases: tuple[str, ...] = ()
    status: Literal["published", "rumored"]
    released: str
    hidden: PositiveInt
    layers: PositiveInt
    moe_layers: PositiveInt
    dense_layers: NonNegativeInt = 0
    dense_intermediate: PositiveInt | None = None
    dense_place: Literal["first", "interleaved", "beside"] = "first"
    intermediate: PositiveInt
    experts: PositiveInt
    top_k: PositiveInt
    shared_experts: NonNegativeInt
    shared_intermediate: NonNegativeInt
    expert_hidden: PositiveInt | None = None
    activation: str
    gated: bool
    gate: str
    groups: PositiveInt
    topk_groups: PositiveInt
    normalize: bool
    scaling: float
    correction_bias: bool
    zero_experts: NonNegativeInt = 0
    vocabulary: PositiveInt
    tied: bool = False
    attention: tuple[AnyAttention, ...] = Field(min_length=1)
    total_params_b: PositiveFloat | None
    active_params_b: PositiveFloat | None
    total_counts: Counted = "all"
    active_counts: Counted = "all"
    source: list[str] = Field(min_length=1)
    notes: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Model:
        if self.top_k > self.scored_experts:
            raise ValueError(f"top_k: {self.top_k} is more than experts ({self.scored_experts})")
        if bool(self.dense_layers) != bool(self.dense_intermediate):
            raise ValueError("dense_layers: give it together with dense_intermediate")
        if bool(self.shared_experts) != bool(self.shared_intermediate):
            raise ValueError("shared_experts: give it together with shared_intermediate")
        mixers = sum(kind.layers for kind in self.attention)
        blocks = self.moe_layers + self.dense_layers
        if self.dense_place == "beside":
            blocks = max(self.moe_layers, self.dense_layers)
        if self.layers not in (mixers + blocks, mixers if mixers == blocks else None):
            raise ValueError(
                f"layers: {self.layers} is neither the {mixers} layers of attention, each with one of "
                f"{blocks} layers of experts or dense MLPs, nor the sum of the two"
            )
        return self

    @property
    def name(self) -> str:
        """The title, with a note if the shape is an assumption."""
        return self.title if self.status == "published" else f"{self.title} ({ASSUMED})"

    @property
    def scored_experts(self) -> int:
        """All experts that the gate chooses from."""
        return self.experts + self.zero_experts

    @property
    def computing_experts(self) -> float:
        """The mean number of experts per token that compute something, with even routing."""
        return self.top_k * self.experts / self.scored_experts

    def moe_layer(self) -> dict[str, Any]:
        """Return the parameters of the kernel moe_layer that this model determines."""
        return {name: getattr(self, name) for name in LAYER_FIELDS}


def shipped_models() -> dict[str, Model]:
    """Return the models of models.yaml by name."""
    text = (resources.files("bench.catalog") / "models.yaml").read_text(encoding="utf-8")
    return {name: Model(id=name, **fields) for name, fields in yaml.safe_load(text).items()}


def own_models_file() -> Path:
    """Return the path of the user's own models, which need not exist."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "accelerator-bench" / "models.yaml"


def own_models() -> dict[str, Model]:
    """Return the user's own models by name. Raises UsageError if their file is not what it should be."""
    path = own_models_file()
    if not path.exists():
        return {}
    source = read_yaml(path)
    if not isinstance(source.data, dict):
        raise UsageError(f"{path}: expected models by name; repair or remove the file")
    models = {}
    for name, fields in source.data.items():
        try:
            models[str(name)] = Model(**{**fields, "id": str(name)})
        except (ValidationError, TypeError) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else None
            text = (
                f"{key_text(first['loc'])}: {first['msg']}"
                if first
                else "expected the fields of a model"
            )
            problem = source.complain((str(name),), text)
            raise UsageError(f"{problem}; correct or remove the entry") from error
    return models


@cache
def load_models() -> dict[str, Model]:
    """Return all models by name. A shipped model has precedence over one of the user's of that name."""
    return own_models() | shipped_models()


@cache
def models_by_name() -> dict[str, Model]:
    """Return all models by name and by alias."""
    models = load_models()
    return models | {alias: model for model in models.values() for alias in model.aliases}


def get_model(name: str) -> Model:
    """Return a model by name or alias. Raises UsageError that suggests the closest name."""
    models = models_by_name()
    if name not in models:
        raise UsageError(f"unknown model {name!r}{one_of(name, models)}")
    return models[name]


def assumed_shapes(names: Iterable[str | None]) -> list[str]:
    """Return a note for each rumored model among the names, for results that depend on its shape."""
    models = load_models()
    known = dict.fromkeys(name for name in names if name in models)
    return [f"{name} is {ASSUMED}" for name in known if models[name].status == "rumored"]
