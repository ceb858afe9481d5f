"""The kinds of attention in models, and the layers that replace attention.

Each describes some `layers` of a model. Norms, biases, decays and the offsets of convolutions are left
out, as they are below 0.1 % of a model.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from bench.catalog.attention import Attention, Stream


class Indexed(Attention):
    """Attention whose keys may be selected by an indexer: `index_keys` of them, with `index_heads` heads.

    Layers that reuse the selection of an earlier layer's indexer have `index_keys` alone (GLM-5.2).
    """

    index_heads: NonNegativeInt = 0
    index_dim: NonNegativeInt = 0
    index_keys: PositiveInt | None = None

    def _stream(
        self, window: int | None = None, ratio: int = 1, *, chunked: bool = False
    ) -> Stream:
        return Stream(window, ratio, self.index_keys, self.index_dim, self.index_heads, chunked)


class GroupedQuery(Indexed):
    """Grouped-query attention (arXiv 2305.13245); multi-head attention if kv_heads equals heads.

    `value_dim` is the width of values if it differs from `head_dim`. `window` is a sliding window;
    `chunk` cuts the sequence into chunks instead (Llama 4). `query_rank` factors
    the query projection (multi-matrix factorization, arXiv 2412.19255).
    `output_gate` is a second matrix like that of the queries. With `key_is_value` there is no matrix of
    values. `shared_by` layers share the keys and values of one (cross-layer attention, arXiv
    2405.12981).
    """

    kind: Literal["gqa"]
    heads: PositiveInt
    kv_heads: PositiveInt
    head_dim: PositiveInt
    value_dim: PositiveInt | None = None
    window: PositiveInt | None = None
    chunk: PositiveInt | None = None
    query_rank: PositiveInt | None = None
    output_gate: bool = False
    key_is_value: bool = False
    shared_by: PositiveInt = 1

    @model_validator(mode="after")
    def _one_limit(self) -> GroupedQuery:
        if self.window is not None and self.chunk is not None:
            raise ValueError("window: give either window or chunk, not both")
        return self

    @property
    def _values(self) -> int:
        return self.value_dim or self.head_dim

    def parameters(self, hidden: int) -> int:
        """Count queries, keys, values and output, and the gate and indexer if present."""
        queries = _factored(hidden, self.query_rank, self.heads * self.head_dim)
        gate = hidden * self.heads * self._values if self.output_gate else 0
        each = self.head_dim + (0 if self.key_is_value else self._values)
        keys_values = hidden * self.kv_heads * each // self.shared_by
        index = hidden * (self.index_heads + 1) * self.index_dim
        return queries + gate + keys_values + self.heads * self._values * hidden + index

    @property
    def streams(self) -> tuple[Stream, ...]:
        """All keys, those in the window or chunk, or those that the indexer selects."""
        return (self._stream(self.window or self.chunk, chunked=self.chunk is not None),)

    @property
    def width(self) -> int:
        """Heads × (width of a query + width of a value)."""
        return self.heads * (self.head_dim + self._values)

    @property
    def entry(self) -> float:
        """kv_heads × (width of a key + width of a value), divided by the layers that share them."""
        return self.kv_heads * (self.head_dim + self._values) / self.shared_by


class Latent(Indexed):
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).

    Keys and values are cached as one latent vector of `kv_rank` and a rotary key of `rope_dim`. With an
    indexer (DeepSeek sparse attention, DeepSeek-V3.2-Exp) a query attends to `index_keys` of them.
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
        """Count the projections down and up, the output, the gate and the indexer."""
        queries = _factored(hidden, self.query_rank, self.heads * (self.nope_dim + self.rope_dim))
        keys_values = hidden * (self.kv_rank + self.rope_dim)
        expand = self.kv_rank * self.heads * (self.nope_dim + self.value_dim)
        output = self.heads * self.value_dim * hidden
        index = (self.query_rank or hidden) * self.index_heads * self.index_dim
        index += hidden * (self.index_dim + self.index_heads)
        return queries + keys_values + expand + output * (2 if self.output_gate else 1) + index

    @property
    def streams(self) -> tuple[Stream, ...]:
        """All keys, or those that the indexer selects."""
        return (self._stream(),)

    @property
    def width(self) -> int:
        """Heads × (nope + rope + value); keys and values are expanded."""
        return self.heads * (self.nope_dim + self.rope_dim + self.value_dim)

    @property
    def decode_width(self) -> int:
        """Heads × (2 · latent + rope); queries are projected into the latent space."""
        return self.heads * (2 * self.kv_rank + self.rope_dim)

    @property
    def entry(self) -> float:
        """The latent vector and the rotary key, shared by all heads."""
        return self.kv_rank + self.rope_dim


class Compressed(Indexed):
    """The attention of DeepSeek-V4: one key, also used as value, per `ratio` tokens, and a window.

    Without `ratio` there is only the window. With `overlap` keys overlap, and the compressor is twice
    as wide. The output projection is factored: each of `output_groups` groups of heads is projected to
    `output_rank` and back.
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
        """Count queries, keys, output, the compressor, and the indexer with its own compressor."""
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
        """The keys in the window, and the compressed ones."""
        window = Stream(self.window)
        if self.ratio is None:
            return (window,)
        return window, self._stream(ratio=self.ratio)

    @property
    def width(self) -> int:
        """Heads × twice the width of a key, which is also the value."""
        return 2 * self.heads * self.head_dim

    @property
    def entry(self) -> float:
        """One key, shared by all heads."""
        return self.head_dim


class Recurrent(Attention):
    """A layer with a recurrent state in place of keys, in `state_dtype`."""

    state_dtype: Literal["float32", "bfloat16"] = "bfloat16"

    @property
    @abstractmethod
    def state(self) -> int:
        """Elements of the state."""

    @property
    def state_bytes(self) -> int:
        """Bytes of the state: 4 per element in float32, 2 in bfloat16."""
        return self.state * (4 if self.state_dtype == "float32" else 2)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """No keys."""
        return ()


class LinearAttention(Recurrent):
    """Linear attention: a matrix for each head instead of keys.

    `rule`: deltanet (gated, arXiv 2412.06464), kda (Kimi Linear, arXiv 2510.26692), lightning
    (MiniMax-01, arXiv 2501.08313). All have an output gate, whose projection is factored if it has a
    `gate_rank`.
    """

    kind: Literal["linear"]
    rule: Literal["deltanet", "kda", "lightning"]
    key_heads: PositiveInt
    value_heads: PositiveInt
    head_dim: PositiveInt
    convolution: NonNegativeInt = 0
    gate_rank: PositiveInt | None = None

    def parameters(self, hidden: int) -> int:
        """Count queries, keys, values, gate, output, decay and convolution."""
        keys, values = self.key_heads * self.head_dim, self.value_heads * self.head_dim
        projections = hidden * (2 * keys + 2 * values) + _factored(hidden, self.gate_rank, values)
        decay = {
            "deltanet": 2 * hidden * self.value_heads,
            "kda": hidden * self.value_heads + _factored(hidden, self.head_dim, keys),
            "lightning": 0,
        }[self.rule]
        return projections + decay + self.convolution * (2 * keys + values)

    @property
    def state(self) -> int:
        """One matrix per value head."""
        return self.value_heads * self.head_dim**2


class Mamba2(Recurrent):
    """A Mamba-2 layer (arXiv 2405.21060) in place of attention."""

    kind: Literal["mamba2"]
    heads: PositiveInt
    head_dim: PositiveInt
    state_dim: PositiveInt
    groups: PositiveInt
    convolution: NonNegativeInt = 4

    def parameters(self, hidden: int) -> int:
        """Count the projections in and out, and the convolution."""
        inner = self.heads * self.head_dim
        convolved = inner + 2 * self.groups * self.state_dim
        return hidden * (inner + convolved + self.heads + inner) + self.convolution * convolved

    @property
    def state(self) -> int:
        """Heads × head_dim × state_dim."""
        return self.heads * self.head_dim * self.state_dim


class Mamba(Recurrent):
    """A Mamba layer (arXiv 2312.00752) in place of attention (Jamba, arXiv 2403.19887).

    Each of `inner` channels has a state of `state_dim`. The size of a step is projected through
    `step_rank`.
    """

    kind: Literal["mamba"]
    inner: PositiveInt
    state_dim: PositiveInt
    step_rank: PositiveInt
    convolution: NonNegativeInt = 4

    def parameters(self, hidden: int) -> int:
        """Count the projections in, of steps and states, and out, and the convolution."""
        steps = _factored(self.inner, self.step_rank, self.inner)
        states = 2 * self.inner * self.state_dim  # into the state, and out of it
        return 3 * hidden * self.inner + self.convolution * self.inner + steps + states

    @property
    def state(self) -> int:
        """Channels × state_dim."""
        return self.inner * self.state_dim


AnyAttention = Annotated[
    GroupedQuery | Latent | Compressed | LinearAttention | Mamba2 | Mamba,
    Field(discriminator="kind"),
]


def _factored(inputs: int, rank: int | None, outputs: int) -> int:
    """Return the number of parameters of a projection, which is factored if it has a rank."""
    return inputs * outputs if rank is None else rank * (inputs + outputs)
