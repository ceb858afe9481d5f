"""The kinds of attention that models have, and what stands in its place.

Each describes some `layers` of a model. Norms, biases and the offsets of convolutions are left out,
being below 0.1 % of a model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from bench.catalog.attention import Attention, Stream


class Indexed(Attention):
    """Attention of which an indexer of `index_heads` of `index_dim` may choose `index_keys` keys."""

    index_heads: NonNegativeInt = 0
    index_dim: NonNegativeInt = 0
    index_keys: PositiveInt | None = None

    def _stream(self, window: int | None = None, ratio: int = 1) -> Stream:
        return Stream(window, ratio, self.index_keys, self.index_dim, self.index_heads)


class GroupedQuery(Indexed):
    """Grouped-query attention (arXiv 2305.13245); with as many kv_heads as heads, multi-head.

    `value_dim` differs from `head_dim` in some; `window` is a sliding window or chunk; `query_rank`
    factors the queries (multi-matrix factorisation, arXiv 2412.19255); `output_gate` is a second
    matrix like that of the queries; `key_is_value` has no matrix of values; `shared_by` layers use
    one layer's keys and values (cross-layer attention, arXiv 2405.12981).
    """

    kind: Literal["gqa"]
    heads: PositiveInt
    kv_heads: PositiveInt
    head_dim: PositiveInt
    value_dim: PositiveInt | None = None
    window: PositiveInt | None = None
    query_rank: PositiveInt | None = None
    output_gate: bool = False
    key_is_value: bool = False
    shared_by: PositiveInt = 1

    @property
    def _values(self) -> int:
        return self.value_dim or self.head_dim

    def parameters(self, hidden: int) -> int:
        """Return those of queries, keys, values, output, and of gate and indexer where they are."""
        queries = _factored(hidden, self.query_rank, self.heads * self.head_dim)
        gate = hidden * self.heads * self._values if self.output_gate else 0
        each = self.head_dim + (0 if self.key_is_value else self._values)
        keys_values = hidden * self.kv_heads * each // self.shared_by
        index = hidden * (self.index_heads + 1) * self.index_dim
        return queries + gate + keys_values + self.heads * self._values * hidden + index

    @property
    def streams(self) -> tuple[Stream, ...]:
        """All keys, the window's, or those that the indexer chooses."""
        return (self._stream(self.window),)

    @property
    def width(self) -> int:
        """Heads × (width of a query + width of a value)."""
        return self.heads * (self.head_dim + self._values)

    @property
    def entry(self) -> float:
        """kv_heads × (width of a key + of a value), over the layers that share them."""
        return self.kv_heads * (self.head_dim + self._values) / self.shared_by


class Latent(Indexed):
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).

    Keys and values are kept as one latent vector of `kv_rank`, and a rotary key of `rope_dim`. With
    an indexer (DeepSeek sparse attention, DeepSeek-V3.2-Exp) a query meets `index_keys` of them.
    """

    kind: Literal["mla"]
    heads: PositiveInt
    query_rank: PositiveInt | None = None
    kv_rank: PositiveInt
    nope_dim: PositiveInt
    rope_dim: PositiveInt
    value_dim: PositiveInt
    output_gate: bool = False

    def parameters(self, hidden: int) -> int:
        """Return those of the projections down and up, of the output, of gate and indexer."""
        queries = _factored(hidden, self.query_rank, self.heads * (self.nope_dim + self.rope_dim))
        keys_values = hidden * (self.kv_rank + self.rope_dim)
        expand = self.kv_rank * self.heads * (self.nope_dim + self.value_dim)
        output = self.heads * self.value_dim * hidden
        index = (self.query_rank or hidden) * self.index_heads * self.index_dim
        index += hidden * (self.index_dim + self.index_heads)
        return queries + keys_values + expand + output * (2 if self.output_gate else 1) + index

    @property
    def streams(self) -> tuple[Stream, ...]:
        """All keys, or those that the indexer chooses."""
        return (self._stream(),)

    @property
    def width(self) -> int:
        """Heads × (nope + rope + value), with keys and values expanded."""
        return self.heads * (self.nope_dim + self.rope_dim + self.value_dim)

    @property
    def decode_width(self) -> int:
        """Heads × (2 · latent + rope), queries multiplied into the latent space instead."""
        return self.heads * (2 * self.kv_rank + self.rope_dim)

    @property
    def entry(self) -> float:
        """The latent vector and the rotary key, shared by all heads."""
        return self.kv_rank + self.rope_dim


class Compressed(Indexed):
    """DeepSeek-V4's attention: one key, which is the value too, for `ratio` tokens, and a window.

    Without `ratio` only the window. Where keys overlap (`overlap`), the compressor is twice as wide.
    The output is factored: `output_groups` of heads to `output_rank` each, and back.
    """

    kind: Literal["compressed"]
    heads: PositiveInt
    head_dim: PositiveInt
    query_rank: PositiveInt
    output_rank: PositiveInt
    output_groups: PositiveInt
    window: PositiveInt
    ratio: PositiveInt | None = None
    overlap: bool = False

    def parameters(self, hidden: int) -> int:
        """Return those of queries, keys, output, compressor and indexer with its own compressor."""
        inner = self.heads * self.head_dim
        down = self.output_rank * inner
        output = down + self.output_groups * self.output_rank * hidden
        compressors = (self.head_dim if self.ratio else 0) + self.index_dim
        compress = 2 * hidden * compressors * (2 if self.overlap else 1)
        index = self.query_rank * self.index_heads * self.index_dim + hidden * self.index_heads
        queries = _factored(hidden, self.query_rank, inner)
        return queries + hidden * self.head_dim + output + compress + index

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The window's keys, and the compressed ones."""
        window = Stream(self.window)
        if self.ratio is None:
            return (window,)
        return window, self._stream(ratio=self.ratio)

    @property
    def width(self) -> int:
        """Heads × twice the width of a key, which is the value too."""
        return 2 * self.heads * self.head_dim

    @property
    def entry(self) -> float:
        """One key, shared by all heads."""
        return self.head_dim


class Linear(Attention):
    """Linear attention: a matrix for each head instead of keys.

    `rule`: deltanet (gated, arXiv 2412.06464), kda (Kimi Linear, arXiv 2510.26692), lightning
    (MiniMax-01, arXiv 2501.08313). All have an output gate.
    """

    kind: Literal["linear"]
    rule: Literal["deltanet", "kda", "lightning"]
    key_heads: PositiveInt
    value_heads: PositiveInt
    head_dim: PositiveInt
    convolution: NonNegativeInt = 0

    def parameters(self, hidden: int) -> int:
        """Return those of queries, keys, values, gate, output, decay and convolution."""
        keys, values = self.key_heads * self.head_dim, self.value_heads * self.head_dim
        projections = hidden * (2 * keys + 3 * values)
        decay = {
            "deltanet": 2 * hidden * self.value_heads,
            "kda": hidden * self.value_heads + _factored(hidden, self.head_dim, keys),
            "lightning": 0,
        }[self.rule]
        return projections + decay + self.convolution * (2 * keys + values)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """No keys."""
        return ()

    @property
    def state(self) -> int:
        """A matrix for each head of values."""
        return self.value_heads * self.head_dim**2


class Mamba2(Attention):
    """A Mamba-2 layer (arXiv 2405.21060) in the place of attention."""

    kind: Literal["mamba2"]
    heads: PositiveInt
    head_dim: PositiveInt
    state_dim: PositiveInt
    groups: PositiveInt
    convolution: NonNegativeInt = 4

    def parameters(self, hidden: int) -> int:
        """Return those of the projections in and out, and of the convolution."""
        inner = self.heads * self.head_dim
        convolved = inner + 2 * self.groups * self.state_dim
        return hidden * (inner + convolved + self.heads + inner) + self.convolution * convolved

    @property
    def streams(self) -> tuple[Stream, ...]:
        """No keys."""
        return ()

    @property
    def state(self) -> int:
        """Heads × head_dim × state_dim."""
        return self.heads * self.head_dim * self.state_dim


AnyAttention = Annotated[
    GroupedQuery | Latent | Compressed | Linear | Mamba2, Field(discriminator="kind")
]


def _factored(inputs: int, rank: int | None, outputs: int) -> int:
    """Return the parameters of a projection, in two factors where it has a rank."""
    return inputs * outputs if rank is None else rank * (inputs + outputs)
