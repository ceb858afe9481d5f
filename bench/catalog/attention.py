"""What every kind of attention declares: its parameters, its cache, and its work.

The kinds are in bench.catalog.attention_kinds. Sizes are in elements, work is in multiplications.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, PositiveInt


class Stream(NamedTuple):
    """The keys that a query attends to: one per `ratio` tokens, from the last `window` tokens.

    If `chunked`, the window is not sliding: the sequence is cut into chunks of `window` tokens, and a
    query attends to the earlier tokens of its own chunk.
    An indexer selects at most `chosen` of the keys. It caches `index_dim` elements per key and compares
    them with a query of that width for each of its `index_heads`.
    """

    window: int | None = None
    ratio: int = 1
    chosen: int | None = None
    index_dim: int = 0
    index_heads: int = 0
    chunked: bool = False

    @property
    def most_kept(self) -> float:
        """The largest number of keys in the cache."""
        return math.inf if self.window is None else self.window / self.ratio

    @property
    def most_met(self) -> float:
        """The largest number of keys that a query attends to."""
        return self.most_kept if self.chosen is None else min(self.chosen, self.most_kept)

    def kept(self, context: float) -> float:
        """Return the number of keys in the cache after `context` tokens."""
        return min(context / self.ratio, self.most_kept)

    def met(self, context: float) -> float:
        """Return the number of keys that a query after `context` tokens attends to.

        Past the first chunk this is the mean over the positions of a chunk: half of it.
        """
        if self.chunked and self.window is not None and context > self.window:
            return self.most_kept / 2
        return min(context / self.ratio, self.most_met)

    def mean(self, most: float, sequence: float) -> float:
        """Return the mean number of keys over the positions of a sequence, at most `most` at each.

        Without a limit it is half the number at the last position.
        """
        if self.chunked and self.window is not None:
            whole, rest = divmod(sequence, self.window)
            return (whole * self.window**2 + rest**2) / (2 * sequence * self.ratio)
        reach = min(sequence, most * self.ratio)
        return (reach - reach * reach / (2 * sequence)) / self.ratio


class Attention(BaseModel):
    """Some layers of a model that have the same kind of attention."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: PositiveInt

    @abstractmethod
    def parameters(self, hidden: int) -> int:
        """Return the number of parameters of one layer in a model of width `hidden`."""

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The keys that a query attends to; none if a state takes their place."""
        return (Stream(),)

    @property
    def width(self) -> int:
        """Multiplications per query, key and value, in training and prefill."""
        return 0

    @property
    def decode_width(self) -> int:
        """Multiplications per query, key and value in decode, where latent keys are not expanded."""
        return self.width

    @property
    def entry(self) -> float:
        """Elements of one key and its value in the cache of a layer."""
        return 0

    @property
    def state_bytes(self) -> int:
        """Bytes of the recurrent state of a layer, which does not grow with the sequence."""
        return 0

    def kept(self, context: float) -> float:
        """Return the elements that one layer caches for a sequence of `context` tokens."""
        return sum(
            stream.kept(context) * (self.entry + stream.index_dim) for stream in self.streams
        )

    def read(self, context: float) -> float:
        """Return the elements that one layer reads per token: the keys attended to, and all indices."""
        return sum(
            stream.met(context) * self.entry + stream.kept(context) * stream.index_dim
            for stream in self.streams
        )

    def decode_work(self, context: float) -> float:
        """Return the multiplications of one layer for the next token after `context` tokens."""
        return sum(
            stream.met(context) * self.decode_width
            + stream.kept(context) * stream.index_heads * stream.index_dim
            for stream in self.streams
        )

    def prefill_work(self, sequence: float, *, causal: bool = True) -> float:
        """Return the multiplications of one layer per token, averaged over a sequence.

        Without `causal`, each token also attends to later ones.
        """
        total = 0.0
        for stream in self.streams:
            if causal:
                met = stream.mean(stream.most_met, sequence)
                indexed = stream.mean(stream.most_kept, sequence)
            else:
                met, indexed = stream.met(sequence), stream.kept(sequence)
            total += met * self.width + indexed * stream.index_heads * stream.index_dim
        return total
