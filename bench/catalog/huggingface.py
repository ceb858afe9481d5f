"""Makes a model of the catalog from a Hugging Face config.json, for the model types that are known.

What a config leaves to the modeling code (the gate's function, whether weights are normalized) is in
FAMILIES, one entry per model type. Nothing is guessed: an unknown type, activation or layer is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.catalog import huggingface_attention as attention
from bench.catalog.huggingface_config import HuggingFaceConfig
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
NOTES = {"situ": "its own activation is another (SiTU); cases run silu in its place"}
GATES = {"softmax": "softmax", "sigmoid": "sigmoid", "sqrtsoftplus": "sqrt_softplus"}


@dataclass(frozen=True)
class Family:
    """What the modeling code of a model type fixes, where the config does not say.

    `dense` returns the number of layers with a dense MLP instead of experts.
    """

    attention: attention.AttentionReader
    gate: str = "softmax"
    normalize: bool = True
    correction_bias: bool = False
    gated: bool = True
    activation: str | None = None
    shared: Callable[[HuggingFaceConfig], int] | None = None
    dense: Callable[[HuggingFaceConfig], int] | None = None
    dense_place: str = "first"
    expert_width: tuple[str, ...] = ("moe_intermediate_size", "intermediate_size")
    dense_width: tuple[str, ...] = ("dense_intermediate_size", "intermediate_size")


def _first(config: HuggingFaceConfig) -> int:
    """Count the first layers, by `first_k_dense_replace` or the types or frequencies per layer."""
    types = config.names("mlp_layer_types")
    if types:
        return types.count("dense")
    if isinstance(config.get("moe_layer_freq"), list):
        return config.names("moe_layer_freq").count(0)
    return config.integer("first_k_dense_replace", default=0)


def _interleaved(config: HuggingFaceConfig) -> int:
    """Llama 4: one layer of `interleave_moe_layer_step` has experts."""
    layers = config.integer("num_hidden_layers")
    return layers - layers // config.integer("interleave_moe_layer_step", default=1)


def _shared_experts(config: HuggingFaceConfig) -> int:
    """Count shared experts."""
    return config.integer("n_shared_experts", "num_shared_experts", default=0)


def _one_shared(_: HuggingFaceConfig) -> int:
    """One shared expert, which the config does not mention."""
    return 1


DEEPSEEK = Family(attention.latent, dense=_first, shared=_shared_experts)
QWEN = Family(attention.grouped_query)
STEP = Family(attention.grouped_query, dense=_first, shared=_shared_experts, activation="silu")

FAMILIES: Mapping[str, Family] = {
    "deepseek_v2": DEEPSEEK,
    "deepseek_v3": DEEPSEEK,
    "deepseek_v32": DEEPSEEK,
    "kimi_k2": DEEPSEEK,
    "glm_moe_dsa": DEEPSEEK,
    "glm4_moe_lite": Family(
        attention.latent, gate="sigmoid", correction_bias=True, dense=_first, shared=_shared_experts
    ),
    "mistral4": DEEPSEEK,
    "deepseek_v4": Family(attention.compressed, shared=_shared_experts),
    "kimi_linear": Family(attention.delta_and_latent, dense=_first, shared=_shared_experts),
    "glm4_moe": Family(
        attention.grouped_query,
        gate="sigmoid",
        correction_bias=True,
        dense=_first,
        shared=_shared_experts,
    ),
    "exaone_moe": Family(
        attention.grouped_query,
        gate="sigmoid",
        correction_bias=True,
        dense=_first,
        shared=_shared_experts,
    ),
    "qwen2_moe": Family(attention.grouped_query, shared=_one_shared),
    "qwen3_moe": QWEN,
    "qwen3_vl_moe_text": QWEN,
    "qwen3_omni_moe_text": QWEN,
    "qwen3_next": Family(attention.delta_and_grouped_query, shared=_one_shared),
    "qwen3_5_moe_text": Family(attention.delta_and_grouped_query, shared=_one_shared),
    "mixtral": Family(attention.grouped_query),
    "olmoe": Family(attention.grouped_query),
    "llama4_text": Family(
        attention.chunked,
        gate="sigmoid",
        normalize=False,
        shared=_one_shared,
        dense=_interleaved,
        dense_place="interleaved",
        dense_width=("intermediate_size_mlp",),
    ),
    "gpt_oss": Family(attention.grouped_query, activation="swigluoai"),
    "gemma4_text": Family(
        attention.global_and_local,
        dense=lambda config: config.integer("num_hidden_layers"),
        dense_place="beside",
    ),
    "minimax_m2": Family(attention.grouped_query),
    "minimax_m3": Family(attention.block_sparse, dense=_first, shared=_shared_experts),
    "mimo_v2_flash": Family(attention.window_pattern, dense=_first),
    "nemotron_h": Family(
        attention.mamba_and_grouped_query,
        gate="sigmoid",
        correction_bias=True,
        gated=False,
        shared=_shared_experts,
    ),
    "step3p7": STEP,
    "step3p5": STEP,
}


def read_model(name: str, fields: Mapping[str, Any], origin: str) -> Model:
    """Return the model that a config.json describes. `origin` is the file, for error messages.

    The published sizes are not in a config; they are None. Raises UsageError for a model type that is not
    known, and for fields that are missing or not what they should be.
    """
    top = HuggingFaceConfig(fields, origin)
    config = top.nested("text_config") if "text_config" in top else top
    model_type = config.get("model_type")
    if str(model_type) not in FAMILIES:
        hint = one_of(str(model_type), sorted(FAMILIES))
        raise config.error(f"model_type: {model_type!r} is not known{hint}")
    family = FAMILIES[str(model_type)]
    kinds = family.attention(config)
    dense = family.dense(config) if family.dense else 0
    shape = {
        "hidden": config.integer("hidden_size"),
        "layers": _layers(config),
        "moe_layers": _moe_layers(config, dense, family.dense_place),
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
        "notes": NOTES.get(str(config.get("hidden_act"))),
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


def _layers(config: HuggingFaceConfig) -> int:
    """Return the number of layers; Nemotron's newer configs list them instead."""
    listed = config.get("layers_block_type")
    return config.integer(
        "num_hidden_layers", "num_layers", default=len(listed) if listed else None
    )


def _moe_layers(config: HuggingFaceConfig, dense: int, place: str) -> int:
    blocks = attention.blocks(config)
    if blocks:
        return blocks.count("moe")
    return _layers(config) - (0 if place == "beside" else dense)


def _dense(config: HuggingFaceConfig, family: Family, dense: int) -> dict[str, Any]:
    if not dense:
        return {}
    return {
        "dense_layers": dense,
        "dense_intermediate": config.integer(*family.dense_width),
        "dense_place": family.dense_place,
    }


def _shared(config: HuggingFaceConfig, family: Family) -> dict[str, Any]:
    experts = family.shared(config) if family.shared else 0
    each = config.integer(*family.expert_width)
    together = config.integer(
        *("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size"),
        "share_expert_dim",
        default=experts * each,
    )
    return {"shared_experts": experts, "shared_intermediate": together if experts else 0}


def _gate(config: HuggingFaceConfig, family: Family) -> dict[str, Any]:
    named = config.get("scoring_func", "moe_router_activation_func", "moe_router_activation")
    if named is not None and str(named) not in GATES:
        raise config.error(f"the gate's function {named!r} is not known{one_of(str(named), GATES)}")
    normalize = config.get("norm_topk_prob", "moe_renormalize", "norm_expert_weight")
    scaling = config.get("routed_scaling_factor", "moe_router_scaling_factor")
    biased = (
        config.get("topk_method") == "noaux_tc"
        or config.get("use_routing_bias", "use_moe_router_bias") is True
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
    }


def _activation(config: HuggingFaceConfig, family: Family) -> str:
    named = config.get("mlp_hidden_act", "hidden_act", "hidden_activation")
    if family.activation is not None:
        return family.activation
    if str(named) not in ACTIVATIONS:
        raise config.error(
            f"the activation {named!r} is not known{one_of(str(named), ACTIVATIONS)}"
        )
    return ACTIVATIONS[str(named)]
