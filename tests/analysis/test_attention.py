"""A model's attention over a context: bytes and FLOPs, against figures that others published."""

from __future__ import annotations

import pytest

from bench.analysis.attention import (
    decode_attention,
    forward_attention_flops,
    kept_bytes,
    prefill_attention,
    uniform_attention_flops,
)
from bench.catalog.models import get_model, load_models


@pytest.mark.parametrize(
    ("name", "kilobytes"),
    [
        # "Insights into DeepSeek-V3" (arXiv 2505.09343), table 1, has the first; the others are
        # layers × kv_heads × 2 × head_dim × 2 bytes, as in the table's LLaMA and Qwen rows.
        ("deepseek-v3", 70.272),
        ("qwen3-235b-a22b", 192.512),
        ("mixtral-8x7b", 131.072),
    ],
)
def test_keys_and_values_of_a_token(name, kilobytes):
    assert kept_bytes(get_model(name), 1) == pytest.approx(kilobytes * 1e3)
    assert kept_bytes(get_model(name), 4096) == pytest.approx(4096 * kilobytes * 1e3)


def test_windows_keep_less():
    """gpt-oss-120b: half of its layers have a window of 128 tokens."""
    each = 18 * 8 * 2 * 64 * 2
    assert kept_bytes(get_model("gpt-oss-120b"), 4096) == each * (4096 + 128)


@pytest.mark.parametrize(
    ("name", "layers", "state"),
    [
        ("nemotron-3-super-120b-a12b", 40, 128 * 64 * 128),
        ("qwen3.5-397b-a17b", 45, 64 * 128 * 128),
        ("kimi-k3", 69, 96 * 128 * 128),
    ],
)
def test_recurrent_states_are_in_float32(name, layers, state):
    """`mamba_ssm_cache_dtype` and `mamba_ssm_dtype` in the configs; vLLM keeps that of KDA so, too."""
    model = get_model(name)
    keys = model.model_copy(update={"attention": tuple(k for k in model.attention if k.streams)})
    for context in (1, 131072):
        states = kept_bytes(model, context) - kept_bytes(keys, context)
        assert states == layers * state * 4


def test_layers_that_share_an_indexer_do_not_compare_again():
    """GLM-5.2 at 131072 tokens: 21 of 78 layers have an indexer; GLM-5's all have."""
    each, shared = get_model("glm-5"), get_model("glm-5.2")
    selected = 2048 * 64 * (2 * 512 + 64)
    index = 131072 * 32 * 128
    assert decode_attention(each, 1, 131072).flops == 2 * 78 * (selected + index)
    assert decode_attention(shared, 1, 131072).flops == 2 * (78 * selected + 21 * index)


def test_a_shape_of_equal_layers_agrees_with_its_width():
    model = get_model("deepseek-v3")
    width = 128 * (192 + 128)
    for causal in (True, False):
        assert forward_attention_flops(model, 4096, causal=causal) == pytest.approx(
            uniform_attention_flops(61, 4096, width, causal=causal)
        )


def test_palm_counts_twelve_for_a_token_forward_and_backward():
    """arXiv 2204.02311, appendix B: 12·L·H·Q·S for L layers of H heads of width Q, all positions."""
    assert 3 * uniform_attention_flops(2, 3, 4 * (5 + 5), causal=False) == 12 * 2 * 4 * 5 * 3


def test_a_step_of_decoding():
    model = get_model("deepseek-v3")
    work = decode_attention(model, 64, 4096)
    assert work.read_bytes == 64 * 4096 * 70272
    assert work.flops == 2 * 64 * 61 * 4096 * 128 * (2 * 512 + 64)
    given = decode_attention(model, 64, 4096, kv_bytes=1000)
    assert given.read_bytes == 64 * 4096 * 1000
    assert given.flops == work.flops


def test_prefill_reads_nothing_that_it_has_not_just_made():
    work = prefill_attention(get_model("deepseek-v3"), 8192, 4096)
    assert work.read_bytes == 0
    assert work.flops == pytest.approx(8192 * 61 * 4096 * 128 * 320)


@pytest.mark.parametrize("name", load_models())
def test_reading_is_at_most_what_is_kept(name):
    model = load_models()[name]
    for context in (1, 4096, 131072):
        read = decode_attention(model, 1, context).read_bytes
        assert 0 < read <= kept_bytes(model, context)
