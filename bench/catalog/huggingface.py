"""Makes a model of the catalog from a Hugging Face config.json, for the model types that are known.

What a config leaves to the modeling code is in bench.catalog.huggingface_families. Nothing is guessed: an
unknown type, activation or layer is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.catalog import huggingface_attention as attention
from bench.catalog.huggingface_config import Config
from bench.catalog.huggingface_families import FAMILIES, Family
from bench.catalog.models import Model
from bench.errors import one_of

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "relu2": "relu2",
    "swigluoai": "swigluoai",
    "situ": "silu",  # Kimi-K3's; see NOTES
}
# What a case of the imported shape does differently.
NOTES = {"situ": "its activation is SiTU; cases use silu instead"}
GATES = {"softmax": "softmax", "sigmoid": "sigmoid", "sqrtsoftplus": "sqrt_softplus"}


def read_model(name: str, fields: Mapping[str, Any], origin: str) -> Model:
    """Return the model that a config.json describes. `origin` is the file, for error messages.

    The published sizes are not in a config; they are None. Raises UsageError for a model type that is not
    known, and for fields that are missing or not what they should be.
    """
    top = Config(fields, origin)
    config = top
    for wrapper in ("thinker_config", "text_config"):  # of models that also take images and sound
        config = config.nested(wrapper) if wrapper in config else config
    model_type = config.get("model_type")
    if str(model_type) not in FAMILIES:
        hint = one_of(str(model_type), sorted(FAMILIES))
        raise config.error(f"model_type: {model_type!r} is not known{hint}")
    family = FAMILIES[str(model_type)]
    kinds = family.attention(config)
    dense = family.dense(config) if family.dense else 0
    shape = {
        "hidden": config.integer("hidden_size"),
        "layers": family.blocks * _layers(config, family),
        "moe_layers": _moe_layers(config, family, dense),
        "intermediate": config.integer(*family.expert_width),
        "vocabulary": config.integer("vocab_size"),
        "tied": bool(config.get("tie_word_embeddings") or top.get("tie_word_embeddings")),
        **_dense(config, family, dense),
        **_shared(config, family),
        **_gate(config, family),
        "expert_hidden": config.get("moe_latent_size", "routed_expert_hidden_size"),
        "activation": _activation(config, family),
        "gated": family.gated,
        "attention": kinds,
        "notes": NOTES.get(str(config.get("hidden_act"))) or family.note,
    }
    return Model(
        id=name,
        title=name,
        status="published",
        released="unknown",
        source=[origin],
        total_params_b=None,
        active_params_b=None,
        **shape,
    )


def _layers(config: Config, family: Family) -> int:
    """Return the number of layers; Nemotron's newer configs list them instead."""
    listed = config.names("layers_block_type")
    return config.integer(*family.layers, default=len(listed) or None)


def _moe_layers(config: Config, family: Family, dense: int) -> int:
    blocks = attention.blocks(config)
    if blocks:
        return blocks.count("moe")
    return _layers(config, family) - (0 if family.dense_place == "beside" else dense)


def _dense(config: Config, family: Family, dense: int) -> dict[str, Any]:
    if not dense:
        return {}
    return {
        "dense_layers": dense,
        "dense_intermediate": config.integer(*family.dense_width),
        "dense_place": family.dense_place,
    }


def _shared(config: Config, family: Family) -> dict[str, Any]:
    experts = family.shared(config) if family.shared else 0
    each = config.integer(*family.expert_width)
    together = config.integer(
        *("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size"),
        *("shared_intermediate_size", "share_expert_dim"),
        default=experts * each,
    )
    return {"shared_experts": experts, "shared_intermediate": together if experts else 0}


def _gate(config: Config, family: Family) -> dict[str, Any]:
    named = config.get(
        *("scoring_func", "score_function", "expert_selection_fn"),
        *("moe_router_activation_func", "moe_router_activation"),
    )
    if named is not None and str(named) not in GATES:
        raise config.error(f"the gate's function {named!r} is not known{one_of(str(named), GATES)}")
    normalize = config.get("norm_topk_prob", "moe_renormalize", "norm_expert_weight")
    scaling = config.get(
        "routed_scaling_factor", "moe_router_scaling_factor", "router_scaling_factor"
    )
    biased = (
        config.get("topk_method") == "noaux_tc"
        or config.get("use_routing_bias", "use_moe_router_bias") is True
        or config.get("moe_router_enable_expert_bias") is True
    )
    groups = config.integer("n_group", "num_expert_group", default=1)
    return {
        "experts": config.integer(
            "n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts"
        ),
        "top_k": config.integer(
            "num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "top_k_experts"
        ),
        "gate": family.gate if named is None else GATES[str(named)],
        "groups": groups,
        "topk_groups": config.integer("topk_group", default=1) if groups > 1 else 1,
        "normalize": family.normalize if normalize is None else normalize,
        "scaling": 1.0 if scaling is None else scaling,
        "correction_bias": biased or family.correction_bias,
        "zero_experts": config.integer("zero_expert_num", default=0),
    }


def _activation(config: Config, family: Family) -> str:
    named = config.get("mlp_hidden_act", "hidden_act", "hidden_activation")
    if family.activation is not None:
        return family.activation
    if str(named) not in ACTIVATIONS:
        raise config.error(
            f"the activation {named!r} is not known{one_of(str(named), ACTIVATIONS)}"
        )
    return ACTIVATIONS[str(named)]
