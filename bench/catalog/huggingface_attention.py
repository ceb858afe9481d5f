"""The attention of a Hugging Face config.json, in the terms of bench.catalog.attention_kinds.

One function per way in which configs describe attention; bench.catalog.huggingface says which model types
use which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from bench.catalog.huggingface_config import HuggingFaceConfig

Kind = dict[str, Any]
AttentionReader = Callable[[HuggingFaceConfig], list[Kind]]


def grouped_query(config: HuggingFaceConfig) -> list[Kind]:
    """All layers alike, or sliding windows in the layers that `layer_types` names."""
    layers = config.integer("num_hidden_layers")
    full = _gqa(config)
    types = config.names("layer_types")
    if not types:
        return [{**full, "layers": layers}]
    counts = Counter(types[:layers])
    sliding = {**full, "window": config.get("sliding_window")}
    other = config.nested("attention_other_setting")
    sliding["heads"] = other.integer("num_attention_heads", default=full["heads"])
    return _by_type(config, counts, {"sliding_attention": sliding, "full_attention": full})


def chunked(config: HuggingFaceConfig) -> list[Kind]:
    """Llama 4: three of four layers attend within chunks."""
    layers = config.integer("num_hidden_layers")
    every = config.integer("no_rope_layer_interval", default=4)
    full = _gqa(config)
    chunk = {**full, "chunk": config.integer("attention_chunk_size")}
    return _some((layers - layers // every, chunk), (layers // every, full))


def global_and_local(config: HuggingFaceConfig) -> list[Kind]:
    """Gemma 4: global layers have heads of their own width, and keys that are also the values."""
    counts = Counter(config.required("layer_types"))
    heads = config.integer("num_attention_heads")
    local = {**_gqa(config), "window": config.integer("sliding_window")}
    full = {
        "kind": "gqa",
        "heads": heads,
        "kv_heads": config.integer("num_global_key_value_heads"),
        "head_dim": config.integer("global_head_dim"),
    }
    if config.get("attention_k_eq_v"):
        full["key_is_value"] = True
    return _by_type(config, counts, {"sliding_attention": local, "full_attention": full})


def window_pattern(config: HuggingFaceConfig) -> list[Kind]:
    """MiMo-V2: `hybrid_layer_pattern` has 1 for sliding windows, whose heads are named `swa_`."""
    counts = Counter(config.required("hybrid_layer_pattern"))
    full = {**_gqa(config), "value_dim": config.integer("v_head_dim")}
    sliding = {
        "kind": "gqa",
        "heads": config.integer("swa_num_attention_heads"),
        "kv_heads": config.integer("swa_num_key_value_heads"),
        "head_dim": config.integer("swa_head_dim"),
        "value_dim": config.integer("swa_v_head_dim"),
        "window": config.integer("sliding_window"),
    }
    return _some((counts[1], sliding), (counts[0], full))


def block_sparse(config: HuggingFaceConfig) -> list[Kind]:
    """MiniMax-M3: an indexer selects blocks of keys in the layers of `sparse_attention_freq`."""
    sparse = config.nested("sparse_attention_config")
    full = _gqa(config)
    indexed = {
        **full,
        "index_heads": sparse.integer("sparse_num_index_heads"),
        "index_dim": sparse.integer("sparse_index_dim"),
        "index_keys": sparse.integer("sparse_topk_blocks") * sparse.integer("sparse_block_size"),
    }
    counts = Counter(sparse.required("sparse_attention_freq"))
    return _some((counts[0], full), (counts[1], indexed))


def latent(config: HuggingFaceConfig) -> list[Kind]:
    """Multi-head latent attention, with an indexer where the config has one (DeepSeek-V3.2, GLM-5)."""
    layers = config.integer("num_hidden_layers", "num_layers")
    kind = _mla(config)
    if "index_topk" not in config:
        return [{**kind, "layers": layers}]
    shared = {**kind, "index_keys": config.integer("index_topk")}
    full = {
        **shared,
        "index_heads": config.integer("index_n_heads"),
        "index_dim": config.integer("index_head_dim"),
    }
    counts = Counter(config.names("indexer_types") or ["full"] * layers)
    return _by_type(config, counts, {"full": full, "shared": shared})


def two_latent_per_layer(config: HuggingFaceConfig) -> list[Kind]:
    """LongCat-Flash: each layer has two blocks of attention."""
    return [{**_mla(config), "layers": 2 * config.integer("num_layers")}]


def delta_and_latent(config: HuggingFaceConfig) -> list[Kind]:
    """Kimi Linear: delta attention in `kda_layers`, latent attention in `full_attn_layers`."""
    linear = config.nested("linear_attn_config")
    heads = linear.integer("num_heads")
    delta = {
        "kind": "linear",
        "rule": "kda",
        "key_heads": heads,
        "value_heads": heads,
        "head_dim": linear.integer("head_dim"),
        "convolution": linear.integer("short_conv_kernel_size"),
        # vLLM and Hugging Face keep this state in float32 whatever the model's dtype.
        "state_dtype": "float32",
    }
    if not linear.get("use_full_rank_gate"):
        delta["gate_rank"] = linear.integer("head_dim")
    full = _mla(config)
    if config.get("mla_use_output_gate"):
        full["output_gate"] = True
    return _some(
        (len(linear.required("kda_layers")), delta),
        (len(linear.required("full_attn_layers")), full),
    )


def delta_and_grouped_query(config: HuggingFaceConfig) -> list[Kind]:
    """Qwen3-Next and Qwen3.5: three of four layers are gated delta nets."""
    layers = config.integer("num_hidden_layers")
    every = config.integer("full_attention_interval", default=4)
    types = [
        "full_attention" if (i + 1) % every == 0 else "linear_attention" for i in range(layers)
    ]
    counts = Counter(config.names("layer_types") or types)
    delta = {
        "kind": "linear",
        "rule": "deltanet",
        "key_heads": config.integer("linear_num_key_heads"),
        "value_heads": config.integer("linear_num_value_heads"),
        "head_dim": config.integer("linear_value_head_dim"),
        "convolution": config.integer("linear_conv_kernel_dim"),
    }
    if config.get("mamba_ssm_dtype") == "float32":
        delta["state_dtype"] = "float32"
    return _by_type(
        config,
        counts,
        {"linear_attention": delta, "full_attention": {**_gqa(config), "output_gate": True}},
    )


def mamba_and_grouped_query(config: HuggingFaceConfig) -> list[Kind]:
    """Nemotron-H: each layer is a Mamba-2 mixer, attention or experts; `E` and `moe` are the experts."""
    counts = Counter(blocks(config))
    counts.pop("moe", None)
    mamba = {
        "kind": "mamba2",
        "heads": config.integer("mamba_num_heads"),
        "head_dim": config.integer("mamba_head_dim"),
        "state_dim": config.integer("ssm_state_size"),
        "groups": config.integer("n_groups"),
        "convolution": config.integer("conv_kernel"),
    }
    if config.get("mamba_ssm_cache_dtype") == "float32":
        mamba["state_dtype"] = "float32"
    return _by_type(config, counts, {"mamba": mamba, "attention": _gqa(config)})


def granite(config: HuggingFaceConfig) -> list[Kind]:
    """Granite 4.0: `layer_types` names mamba and attention; every layer has experts, too."""
    newer = {"linear_attention": "mamba", "full_attention": "attention"}
    counts = Counter(newer.get(name, name) for name in config.required("layer_types"))
    heads = config.integer("mamba_n_heads")
    inner = config.integer("mamba_expand", default=2) * config.integer("hidden_size")
    whole = config.get("mamba_d_head") in (None, "auto")
    mamba = {
        "kind": "mamba2",
        "heads": heads,
        "head_dim": inner // max(heads, 1) if whole else config.integer("mamba_d_head"),
        "state_dim": config.integer("mamba_d_state"),
        "groups": config.integer("mamba_n_groups", default=1),
        "convolution": config.integer("mamba_d_conv", default=4),
    }
    return _by_type(config, counts, {"mamba": mamba, "attention": _gqa(config)})


def jamba(config: HuggingFaceConfig) -> list[Kind]:
    """Jamba: attention in the layer `attn_layer_offset` of every `attn_layer_period`, else Mamba."""
    layers = config.integer("num_hidden_layers")
    period = max(config.integer("attn_layer_period", default=8), 1)
    offset = config.integer("attn_layer_offset", default=4)
    full = sum(1 for layer in range(layers) if layer % period == offset)
    hidden = config.integer("hidden_size")
    rank = config.get("mamba_dt_rank")
    mamba = {
        "kind": "mamba",
        "inner": config.integer("mamba_expand", default=2) * hidden,
        "state_dim": config.integer("mamba_d_state", default=16),
        "step_rank": -(-hidden // 16) if rank == "auto" else config.integer("mamba_dt_rank"),
        "convolution": config.integer("mamba_d_conv", default=4),
    }
    return _some((layers - full, mamba), (full, _gqa(config)))


def compressed(config: HuggingFaceConfig) -> list[Kind]:
    """DeepSeek-V4: `compress_ratios` has 0 for a window alone; layers of ratio 4 have the indexer."""
    layers = config.integer("num_hidden_layers")
    window = {
        "kind": "compressed",
        "heads": config.integer("num_attention_heads"),
        "head_dim": config.integer("head_dim"),
        "query_rank": config.integer("q_lora_rank"),
        "output_rank": config.integer("o_lora_rank"),
        "output_groups": config.integer("o_groups"),
        "window": config.integer("sliding_window"),
    }
    indexed = {
        "overlap": True,
        "index_heads": config.integer("index_n_heads"),
        "index_dim": config.integer("index_head_dim"),
        "index_keys": config.integer("index_topk"),
    }
    counts = Counter(config.required("compress_ratios")[:layers])
    return _some(
        (counts.pop(0, 0), window),
        *(
            (count, {**window, "ratio": ratio, **(indexed if ratio == 4 else {})})
            for ratio, count in sorted(counts.items())
        ),
    )


def blocks(config: HuggingFaceConfig) -> list[str]:
    """Return the blocks of a model that has one of mamba, attention and moe per layer; else nothing."""
    pattern = config.get("hybrid_override_pattern")
    if pattern is None:
        return config.names("layers_block_type")
    if not isinstance(pattern, str):
        raise config.error(f"hybrid_override_pattern: expected text, got {pattern!r:.60}")
    names = {"M": "mamba", "*": "attention", "E": "moe"}
    return [names.get(letter, letter) for letter in pattern]


def _gqa(config: HuggingFaceConfig) -> Kind:
    """Return the heads of grouped-query attention."""
    heads = config.integer("num_attention_heads")
    return {
        "kind": "gqa",
        "heads": heads,
        "kv_heads": config.integer("num_key_value_heads", "num_attention_groups", default=heads),
        "head_dim": config.integer(
            *("head_dim", "attention_head_dim"),
            default=config.integer("hidden_size") // max(heads, 1),
        ),
    }


def _mla(config: HuggingFaceConfig) -> Kind:
    """Return the heads and ranks of latent attention."""
    kind: Kind = {
        "kind": "mla",
        "heads": config.integer("num_attention_heads"),
        "kv_rank": config.integer("kv_lora_rank"),
        "nope_dim": config.integer("qk_nope_head_dim"),
        "rope_dim": config.integer("qk_rope_head_dim"),
        "value_dim": config.integer("v_head_dim"),
    }
    if config.get("q_lora_rank"):
        kind["query_rank"] = config.integer("q_lora_rank")
    return kind


def _by_type(
    config: HuggingFaceConfig, counts: Mapping[str, int], kinds: Mapping[str, Kind]
) -> list[Kind]:
    """Return the kinds with their layers, counted by type. Raises UsageError for another type."""
    for name in counts:
        if name not in kinds:
            raise config.error(f"unknown type of layer {name!r}")
    return _some(*((counts.get(name, 0), kind) for name, kind in kinds.items()))


def _some(*kinds: tuple[int, Kind]) -> list[Kind]:
    """Return the kinds that have layers."""
    return [{**kind, "layers": layers} for layers, kind in kinds if layers]
