"""The parameters of each kind of attention against modules that we did not write: transformers'."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch

from bench.catalog.models import get_model

pytest.importorskip("transformers")

# Model, which of its kinds of attention, transformers' family and class, its layer and configuration.
CASES = {
    "all heads alike": (
        "qwen3-30b-a3b",
        0,
        ("qwen3_moe", "Qwen3MoeAttention", 0),
        {"hidden_size": 2048, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128},
    ),
    "latent": (
        "deepseek-v3",
        0,
        ("deepseek_v3", "DeepseekV3Attention", 0),
        {
            "hidden_size": 7168,
            "num_attention_heads": 128,
            "num_key_value_heads": 128,
            "q_lora_rank": 1536,
            "kv_lora_rank": 512,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
        },
    ),
    "latent, indexed": (
        "glm-5",
        0,
        ("glm_moe_dsa", "GlmMoeDsaAttention", 0),
        {
            "hidden_size": 6144,
            "num_attention_heads": 64,
            "num_key_value_heads": 64,
            "q_lora_rank": 2048,
            "kv_lora_rank": 512,
            "qk_nope_head_dim": 192,
            "qk_rope_head_dim": 64,
            "v_head_dim": 256,
            "index_n_heads": 32,
            "index_head_dim": 128,
        },
    ),
    "latent, whole queries": (
        "deepseek-v2-lite",
        0,
        ("deepseek_v2", "DeepseekV2Attention", 0),
        {
            "hidden_size": 2048,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "q_lora_rank": None,
            "kv_lora_rank": 512,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
        },
    ),
    "with an output gate": (
        "qwen3-next-80b-a3b",
        1,
        ("qwen3_next", "Qwen3NextAttention", 3),
        {"hidden_size": 2048, "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256},
    ),
    "gated delta rule": (
        "qwen3-next-80b-a3b",
        0,
        ("qwen3_next", "Qwen3NextGatedDeltaNet", 0),
        {
            "hidden_size": 2048,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": 32,
            "linear_key_head_dim": 128,
            "linear_value_head_dim": 128,
            "linear_conv_kernel_dim": 4,
        },
    ),
    "lightning": (
        "minimax-text-01",
        0,
        ("minimax", "MiniMaxLightningAttention", 0),
        {"hidden_size": 6144, "num_attention_heads": 64, "head_dim": 128},
    ),
    "mamba-2": (
        "nemotron-3-super-120b-a12b",
        0,
        ("nemotron_h", "NemotronHMamba2Mixer", 0),
        {
            "hidden_size": 4096,
            "mamba_num_heads": 128,
            "mamba_head_dim": 64,
            "ssm_state_size": 128,
            "n_groups": 8,
            "conv_kernel": 4,
        },
    ),
    "mamba": (
        "jamba-v0.1",
        0,
        ("jamba", "JambaMambaMixer", 0),
        {
            "hidden_size": 4096,
            "mamba_expand": 2,
            "mamba_d_state": 16,
            "mamba_dt_rank": 256,
            "mamba_d_conv": 4,
        },
    ),
    "mamba-2, one group": (
        "granite-4.0-h-small",
        0,
        ("granitemoehybrid", "GraniteMoeHybridMambaLayer", 0),
        {
            "hidden_size": 4096,
            "mamba_n_heads": 128,
            "mamba_d_head": 64,
            "mamba_d_state": 128,
            "mamba_n_groups": 1,
            "mamba_d_conv": 4,
        },
    ),
    "latent, two blocks per layer": (
        "longcat-flash",
        0,
        ("longcat_flash", "LongcatFlashMLA", 0),
        {
            "hidden_size": 6144,
            "num_attention_heads": 64,
            "q_lora_rank": 1536,
            "kv_lora_rank": 512,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
        },
    ),
}
V4 = {
    "hidden_size": 4096,
    "num_attention_heads": 64,
    "head_dim": 512,
    "q_lora_rank": 1024,
    "o_lora_rank": 1024,
    "o_groups": 8,
    "index_n_heads": 64,
    "index_head_dim": 128,
    "num_hidden_layers": 3,
    "compress_ratios": [0, 4, 128],
}
CASES |= {
    "a window": ("deepseek-v4-flash", 0, ("deepseek_v4", "DeepseekV4Attention", 0), V4),
    "compressed, indexed": ("deepseek-v4-flash", 1, ("deepseek_v4", "DeepseekV4Attention", 1), V4),
    "compressed": ("deepseek-v4-flash", 2, ("deepseek_v4", "DeepseekV4Attention", 2), V4),
    "narrow values": (
        "mimo-v2-flash",
        1,
        ("mimo_v2_flash", "MiMoV2FlashAttention", 0),
        {
            "hidden_size": 4096,
            "num_attention_heads": 64,
            "num_key_value_heads": 4,
            "head_dim": 192,
            "v_head_dim": 128,
        },
    ),
    "all heads alike, indexed": (
        "minimax-m3",
        1,
        ("minimax_m3_vl", "MiniMaxM3VLAttention", 0),
        {
            "model_type": "minimax_m3_vl_text",
            "hidden_size": 6144,
            "num_attention_heads": 64,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "index_n_heads": 4,
            "index_head_dim": 128,
            "num_hidden_layers": 1,
            "layer_types": ["minimax_m3_sparse"],
        },
    ),
}
# Offsets and decay rates, which are matrices in form only.
VECTORS = ("position_bias", "A_log")


def matrices(family, class_name, layer, model_type=None, **options):
    """The sizes of a module's matrices and convolutions by name."""
    from transformers import AutoConfig

    config = AutoConfig.for_model(model_type or family, **options)
    module = import_module(f"transformers.models.{family}.modeling_{family}")
    with torch.device("meta"):
        real = getattr(module, class_name)(config, layer)
    return {
        name: parameter.numel()
        for name, parameter in real.named_parameters()
        if parameter.dim() > 1 and not name.endswith(VECTORS)
    }


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_those_of_the_real_module(name):
    model, number, module, options = CASES[name]
    counted = get_model(model).attention[number].parameters(options["hidden_size"])
    assert counted == sum(matrices(*module, **options).values())


def test_kimi_delta_attention_whose_output_gate_has_full_rank():
    """Kimi-K3's `use_full_rank_gate`; the module has the two factors of Kimi Linear's instead."""
    shape = {"num_heads": 96, "head_dim": 128, "short_conv_kernel_size": 4}
    sizes = matrices(
        "kimi_linear",
        "KimiLinearDeltaAttention",
        0,
        hidden_size=7168,
        num_hidden_layers=4,
        linear_attn_config={"kda_layers": [1, 2, 3], "full_attn_layers": [4], **shape},
    )
    gate = sizes.pop("g_a_proj.weight") + sizes.pop("g_b_proj.weight")
    assert gate == 128 * (7168 + 96 * 128)
    counted = get_model("kimi-k3").attention[0].parameters(7168)
    assert counted == sum(sizes.values()) + 7168 * 96 * 128
