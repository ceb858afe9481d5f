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

    `dense` counts the layers with a dense MLP, and `shared` the shared experts. `layers` are the names of
    the number of layers, each of which has `blocks` of attention. `note` says what a case of such a
    model's shape does differently.
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
    layers: tuple[str, ...] = ("num_hidden_layers", "num_layers")
    blocks: int = 1
    expert_width: tuple[str, ...] = ("moe_intermediate_size", "intermediate_size")
    dense_width: tuple[str, ...] = (
        *("prefix_dense_intermediate_size", "dense_intermediate_size"),
        "intermediate_size",
    )
    note: str | None = None


def _first(config: Config) -> int:
    """Count the first layers, by `first_k_dense_replace` or the types or frequencies per layer."""
    types = config.names("mlp_layer_types")
    if types:
        return types.count("dense")
    if "is_moe_layer" in config:
        return config.names("is_moe_layer").count(False)
    if isinstance(config.get("moe_layer_freq"), list):
        return config.names("moe_layer_freq").count(0)
    return config.integer("first_k_dense_replace", default=0)


def _interleaved(config: Config) -> int:
    """Llama 4: one layer of `interleave_moe_layer_step` has experts."""
    layers = config.integer("num_hidden_layers")
    return layers - layers // config.integer("interleave_moe_layer_step", default=1)


def _periodic(config: Config) -> int:
    """Jamba: experts in the layer `expert_layer_offset` of every `expert_layer_period`."""
    period = config.integer("expert_layer_period", default=2)
    offset = config.integer("expert_layer_offset", default=1)
    layers = range(config.integer("num_hidden_layers"))
    return sum(1 for layer in layers if layer % max(period, 1) != offset)


def _every(config: Config) -> int:
    """One dense MLP per layer, beside the experts."""
    return config.integer("num_hidden_layers")


def _two_per_layer(config: Config) -> int:
    """LongCat-Flash: two dense MLPs per layer, beside the experts."""
    return 2 * config.integer("num_layers")


def _residual(config: Config) -> int:
    """Arctic: an MLP beside the experts of every layer, if `use_residual`."""
    if config.integer("moe_layer_frequency", default=1) != 1:
        raise config.error("moe_layer_frequency: expected 1, experts in every layer")
    return _every(config) if config.get("use_residual") else 0


def _shared_experts(config: Config) -> int:
    """Count shared experts."""
    return config.integer("n_shared_experts", "num_shared_experts", "num_shared_expert", default=0)


def _one_shared(_: Config) -> int:
    """One shared expert, which the config does not mention."""
    return 1


DEEPSEEK = Family(attention.latent, dense=_first, shared=_shared_experts)
# The gate of DeepSeek-V3 with grouped-query attention.
GLM = Family(
    attention.grouped_query,
    gate="sigmoid",
    correction_bias=True,
    dense=_first,
    shared=_shared_experts,
)
QWEN = Family(attention.grouped_query)
SHARED_GATE = "a sigmoid gate scales the shared expert; cases leave it out"
LING = Family(attention.grouped_query, dense=_first, shared=_shared_experts)
MIMO = Family(attention.window_pattern, dense=_first)
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
    "deepseek_v4": Family(
        attention.compressed,
        shared=_shared_experts,
        note="clamps the activation at 10 and routes the first layers by hash; cases do neither",
    ),
    "longcat_flash": Family(
        attention.two_latent_per_layer,
        normalize=False,
        correction_bias=True,
        dense=_two_per_layer,
        dense_place="beside",
        layers=("num_layers",),
        blocks=2,
        expert_width=("expert_ffn_hidden_size",),
        dense_width=("ffn_hidden_size",),
    ),
    "kimi_linear": Family(
        attention.delta_and_latent,
        gate="sigmoid",
        correction_bias=True,
        dense=_first,
        shared=_shared_experts,
    ),
    "glm4_moe": GLM,
    "exaone_moe": GLM,
    "dots1": GLM,
    "hy_v3": GLM,
    "bailing_moe": LING,
    "bailing_moe_v2": LING,
    "qwen2_moe": Family(
        attention.grouped_query, normalize=False, shared=_one_shared, note=SHARED_GATE
    ),
    "qwen3_moe": QWEN,
    "qwen3_vl_moe_text": QWEN,
    "qwen3_omni_moe_text": QWEN,
    "qwen3_next": Family(attention.delta_and_grouped_query, shared=_one_shared, note=SHARED_GATE),
    "qwen3_5_moe_text": Family(
        attention.delta_and_grouped_query, shared=_one_shared, note=SHARED_GATE
    ),
    "mixtral": Family(attention.grouped_query),
    "phimoe": Family(
        attention.grouped_query,
        normalize=False,
        note="each of a token's two weights comes from a softmax of its own (SparseMixer); cases use one "
        "softmax for both",
    ),
    "olmoe": Family(attention.grouped_query, normalize=False),
    "arctic": Family(
        attention.grouped_query,
        dense=_residual,
        dense_place="beside",
        dense_width=("hidden_size",),
        note="a dense MLP runs beside the experts in every layer; cases leave it out",
    ),
    "hunyuan_v1_moe": Family(attention.grouped_query, shared=_shared_experts),
    "cohere2_moe": Family(
        attention.grouped_query,
        dense=_first,
        shared=_shared_experts,
        note="averages the routed and the shared experts; cases add them",
    ),
    "llama4_text": Family(
        attention.chunked,
        gate="sigmoid",
        normalize=False,
        shared=_one_shared,
        dense=_interleaved,
        dense_place="interleaved",
        dense_width=("intermediate_size_mlp",),
        note="the weight multiplies the input of an expert; cases multiply its output",
    ),
    "gpt_oss": Family(
        attention.grouped_query,
        activation="swigluoai",
        note="router and experts have biases; cases leave them out",
    ),
    "gemma4_text": Family(
        attention.global_and_local,
        dense=_every,
        dense_place="beside",
        note="a dense MLP runs beside the experts in every layer; cases leave it out",
    ),
    "minimax_m2": Family(attention.grouped_query),
    "minimax_m3": Family(attention.block_sparse, dense=_first, shared=_shared_experts),
    "mimo_v2_flash": MIMO,
    "mimo_v2": MIMO,
    "nemotron_h": Family(
        attention.mamba_and_grouped_query,
        gate="sigmoid",
        correction_bias=True,
        gated=False,
        shared=_shared_experts,
    ),
    "granitemoehybrid": Family(attention.granite, shared=_one_shared),
    "jamba": Family(attention.jamba, normalize=False, dense=_periodic, dense_place="interleaved"),
    "step3p7": STEP,
    "step3p5": STEP,
}
