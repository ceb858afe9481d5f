"""The layer shapes of mixture-of-experts models, from models.yaml, each with its source."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from bench.errors import UsageError, one_of

# What of a model decides the work of one mixture-of-experts layer.
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
)


class Model(BaseModel):
    """A model's shape in the terms of the kernel moe_layer, and its size as published.

    `expert_hidden` is the width that routed experts run in where that is not `hidden`. `notes` says
    what a case of this shape leaves out or does otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    status: Literal["published", "rumoured"]
    released: str
    hidden: int
    layers: int
    moe_layers: int
    intermediate: int
    experts: int
    top_k: int
    shared_experts: int
    shared_intermediate: int
    expert_hidden: int | None = None
    activation: str
    gated: bool
    gate: str
    groups: int
    topk_groups: int
    normalize: bool
    scaling: float
    correction_bias: bool
    vocabulary: int
    total_params_b: float | None
    active_params_b: float | None
    source: list[str]
    notes: str | None = None

    def moe_layer(self) -> dict[str, Any]:
        """Return the parameters of the kernel moe_layer that this model decides."""
        return {name: getattr(self, name) for name in LAYER_FIELDS}


@cache
def load_models() -> dict[str, Model]:
    """Return all models by name."""
    text = (resources.files("bench") / "models.yaml").read_text(encoding="utf-8")
    return {name: Model(**fields) for name, fields in yaml.safe_load(text).items()}


def get_model(name: str) -> Model:
    """Return a model by name. Raises UsageError naming the nearest one."""
    models = load_models()
    if name not in models:
        raise UsageError(f"unknown model {name!r}{one_of(name, models)}")
    return models[name]
