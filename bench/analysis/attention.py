"""The work of attention over a context: memory for keys and values, bytes read, FLOPs.

Everything follows from the attention shape in models.yaml (bench.catalog.attention_kinds), with two FLOPs
per multiplication. Training and prefill take 2·L·W·keys FLOPs per token forward, for L layers and
W = heads × (width of a query + width of a value): over a sequence of S tokens L·S·W when causal, twice that
with all positions (PaLM, arXiv 2204.02311, appendix B: 12·L·H·Q·S forward and backward). Windows, selected
and compressed keys count as what they are, and an indexer compares all of its keys. Decoding latent
attention works on the latent vectors themselves (DeepSeek-V2, arXiv 2405.04434, section 2.1). Linear
attention and state-space layers do the same work per token at any length, little beside their projections;
it counts as nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.catalog.models import Model

# Keys and values are cached in bfloat16 unless a caller knows better. States have a dtype of their own.
CACHE_BYTES = 2


@dataclass(frozen=True)
class AttentionWork:
    """What the attention of one step computes and reads, beyond its projections."""

    flops: float = 0.0
    read_bytes: float = 0.0


def kept_bytes(model: Model, context: float) -> float:
    """Return the bytes of keys, values and states of one sequence of so many tokens."""
    return sum(
        kind.layers * (CACHE_BYTES * kind.kept(context) + kind.state_bytes)
        for kind in model.attention
    )


def decode_attention(
    model: Model, sequences: int, context: float, kv_bytes: float | None = None
) -> AttentionWork:
    """Return the work of the next token of each sequence behind `context` tokens.

    `kv_bytes` per token are read instead of what the model's shape says.
    """
    flops = 2 * sum(kind.layers * kind.decode_work(context) for kind in model.attention)
    if kv_bytes is None:
        read = sum(
            kind.layers * (CACHE_BYTES * kind.read(context) + kind.state_bytes)
            for kind in model.attention
        )
    else:
        read = kv_bytes * context
    return AttentionWork(sequences * flops, sequences * read)


def prefill_attention(model: Model, tokens: int, sequence: float) -> AttentionWork:
    """Return the work of tokens of whole prompts, each of `sequence` tokens; keys stay in caches."""
    return AttentionWork(tokens * forward_attention_flops(model, sequence))


def forward_attention_flops(model: Model, sequence: float, *, causal: bool = True) -> float:
    """Return the FLOPs of a token's attention in a forward pass, the mean over its sequence."""
    return 2 * sum(
        kind.layers * kind.prefill_work(sequence, causal=causal) for kind in model.attention
    )


def uniform_attention_flops(
    layers: int, sequence: float, width: float, *, causal: bool = True
) -> float:
    """Return the same for equal layers that look at every key: L·S·W, or 2·L·S·W without `causal`."""
    return (1 if causal else 2) * layers * sequence * width
