"""Attention: keys that are met and kept, by hand and by brute force over all positions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.catalog.attention import Stream
from bench.catalog.attention_kinds import (
    Compressed,
    GroupedQuery,
    Latent,
    LinearAttention,
    Mamba,
    Mamba2,
)

STREAMS = st.builds(
    Stream,
    window=st.none() | st.integers(1, 300),
    ratio=st.integers(1, 8),
    chosen=st.none() | st.integers(1, 64),
    index_dim=st.just(0),
    index_heads=st.just(0),
    chunked=st.just(value=False),
)


@given(STREAMS, st.integers(1, 400))
def test_the_mean_is_that_over_the_positions(stream, sequence):
    steps = 64  # within a token, so that sums come close to the integral
    positions = [(i + 0.5) / steps for i in range(sequence * steps)]
    mean = sum(map(stream.met, positions)) / len(positions)
    assert stream.mean(stream.most_met, sequence) == pytest.approx(mean, rel=0.02, abs=0.02)


@given(STREAMS, st.integers(1, 10**6), st.integers(1, 10**6))
def test_more_context_means_no_fewer_keys(stream, context, more):
    assert stream.met(context) <= stream.met(context + more)
    assert stream.met(context) <= stream.kept(context) <= context


GQA = GroupedQuery(kind="gqa", layers=1, heads=8, kv_heads=2, head_dim=16)


def test_grouped_query_attention():
    assert GQA.parameters(64) == 64 * 128 * 2 + 2 * 64 * 32
    assert GQA.kept(100) == GQA.read(100) == 100 * 2 * 2 * 16
    assert GQA.decode_work(100) == 100 * 8 * 32
    assert GQA.prefill_work(100) == 50 * 8 * 32
    assert GQA.prefill_work(100, causal=False) == 100 * 8 * 32


def test_a_window_bounds_memory_and_work():
    near = GQA.model_copy(update={"window": 10})
    assert near.kept(100) == 10 * 64
    assert near.decode_work(100) == 10 * 8 * 32
    assert near.prefill_work(100) == (10 * 100 - 50) / 100 * 8 * 32
    assert near.decode_work(5) == GQA.decode_work(5)


@pytest.mark.parametrize("sequence", [3, 10, 25, 40])
def test_a_query_attends_to_its_own_chunk(sequence):
    """The mean of the keys met, position by position, in chunks of 10 tokens."""
    chunked = GQA.model_copy(update={"chunk": 10})
    steps = 64
    positions = [(i + 0.5) / steps for i in range(sequence * steps)]
    mean = sum(position % 10 for position in positions) / len(positions)
    assert chunked.prefill_work(sequence) == pytest.approx(mean * 8 * 32)
    assert chunked.kept(sequence) == min(sequence, 10) * 64


def test_decoding_meets_half_a_chunk_on_average():
    chunked = GQA.model_copy(update={"chunk": 10})
    assert chunked.decode_work(8) == GQA.decode_work(8)
    assert chunked.decode_work(1000) == 5 * 8 * 32


def test_a_window_and_a_chunk_exclude_each_other():
    with pytest.raises(ValidationError, match="either window or chunk"):
        GroupedQuery(**GQA.model_dump() | {"window": 10, "chunk": 10})


def test_a_shared_indexer_is_neither_stored_nor_compared():
    """GLM-5.2: such a layer attends to the keys that an earlier layer selected."""
    shared = GQA.model_copy(update={"index_keys": 20})
    assert shared.parameters(64) == GQA.parameters(64)
    assert shared.kept(100) == GQA.kept(100)
    assert shared.read(100) == 20 * 64
    assert shared.decode_work(100) == 20 * 8 * 32


def test_an_indexer_keeps_and_compares_all_but_reads_few():
    chosen = GQA.model_copy(update={"index_heads": 4, "index_dim": 8, "index_keys": 20})
    assert chosen.parameters(64) == GQA.parameters(64) + 64 * 8 * 5
    assert chosen.kept(100) == 100 * (64 + 8)
    assert chosen.read(100) == 20 * 64 + 100 * 8
    assert chosen.decode_work(100) == 20 * 8 * 32 + 100 * 4 * 8


@pytest.mark.parametrize(
    ("field", "value", "parameters", "kept"),
    [
        ("output_gate", True, 64 * 128, 0),
        ("key_is_value", True, -64 * 32, 0),
        ("shared_by", 2, -64 * 32, -100 * 32),
        ("query_rank", 16, 16 * (64 + 128) - 64 * 128, 0),
        ("value_dim", 8, -(64 * 64 + 2 * 64 * 8), -100 * 2 * 8),
    ],
)
def test_variants_of_grouped_queries(field, value, parameters, kept):
    variant = GQA.model_copy(update={field: value})
    assert variant.parameters(64) - GQA.parameters(64) == parameters
    assert variant.kept(100) - GQA.kept(100) == kept


def test_latent_attention_keeps_one_vector_and_decodes_in_its_space():
    latent = Latent(
        kind="mla", layers=1, heads=128, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128
    )
    assert latent.kept(1) == 576
    assert latent.prefill_work(2) == 128 * (192 + 128)
    assert latent.decode_work(1) == 128 * (2 * 512 + 64)


def test_compressed_attention_sees_a_window_and_every_few_tokens():
    kind = Compressed(
        kind="compressed",
        layers=1,
        heads=4,
        head_dim=8,
        query_rank=16,
        output_rank=8,
        output_groups=2,
        window=10,
        ratio=4,
        index_heads=2,
        index_dim=3,
        index_keys=5,
    )
    assert kind.kept(100) == 10 * 8 + 25 * (8 + 3)
    assert kind.read(100) == 10 * 8 + 5 * 8 + 25 * 3
    assert kind.decode_work(100) == 15 * 2 * 4 * 8 + 25 * 2 * 3
    only = kind.model_copy(update={"ratio": None, "index_heads": 0, "index_dim": 0})
    assert only.kept(100) == 10 * 8


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (
            LinearAttention(
                kind="linear", layers=1, rule="deltanet", key_heads=2, value_heads=4, head_dim=8
            ),
            4 * 8 * 8,
        ),
        (Mamba2(kind="mamba2", layers=1, heads=4, head_dim=8, state_dim=16, groups=2), 4 * 8 * 16),
        (Mamba(kind="mamba", layers=1, inner=64, state_dim=16, step_rank=4), 64 * 16),
    ],
)
def test_a_state_does_not_grow(kind, state):
    assert kind.kept(10**6) == kind.read(10**6) == 0
    assert kind.state_bytes == 2 * state
    assert kind.model_copy(update={"state_dtype": "float32"}).state_bytes == 4 * state
    assert kind.decode_work(10**6) == kind.prefill_work(10**6) == 0
