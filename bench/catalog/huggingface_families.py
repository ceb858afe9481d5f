"""The model types of Hugging Face configs that are known, and what their modeling code fixes.

A config leaves some of a model to the code that runs it: the gate's function, whether weights are
normalized, which layers have experts. FAMILIES has one entry per model type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.catalog import huggingface_attention as attention
from bench.catalog.huggingface_config import Config


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
    shared: Callable[[Config], int] | None = None
    dense: Callable[[Config], int] | None = None
    dense_place: str = "first"
    expert_width: tuple[str, ...] = ("moe_intermediate_size", "intermediate_size")
    dense_width: tuple[str, ...] = ("dense_intermediate_size", "intermediate_size")


def _first(config: Config) -> int:
    """Count the first layers, by `first_k_dense_replace` or the types or frequencies per layer."""
    types = config.names("mlp_layer_types")
    if types:
        return types.count("dense")
    if isinstance(config.get("moe_layer_freq"), list):
        return config.names("moe_layer_freq").count(0)
    return config.integer("first_k_dense_replace", default=0)


def _interleaved(config: Config) -> int:
    """Llama 4: one layer of `interleave_moe_layer_step` has experts."""
    layers = config.integer("num_hidden_layers")
    return layers - layers // config.integer("interleave_moe_layer_step", default=1)


def _shared_experts(config: Config) -> int:
    """Count shared experts."""
    return config.integer("n_shared_experts", "num_shared_experts", default=0)


def _one_shared(_: Config) -> int:
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
