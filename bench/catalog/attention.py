"""What every kind of attention says of itself: its parameters, what it keeps, and its work.

The kinds themselves are in bench.catalog.attention_kinds. Sizes are in elements, work is in multiplications.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, PositiveInt


class Stream(NamedTuple):
    """Keys that a query can meet: one for `ratio` tokens, of the last `window` tokens.

    Of these an indexer chooses at most `chosen`; it keeps `index_dim` elements a key and compares
    them with as many of each of its heads.
    """

    window: int | None = None
    ratio: int = 1
    chosen: int | None = None
    index_dim: int = 0
    index_heads: int = 0

    @property
    def most_kept(self) -> float:
        """The number of keys beyond which none is kept."""
        return math.inf if self.window is None else self.window / self.ratio

    @property
    def most_met(self) -> float:
        """The number of keys that a query meets at most."""
        return self.most_kept if self.chosen is None else min(self.chosen, self.most_kept)

    def kept(self, context: float) -> float:
        """Return the keys that are kept of so many tokens."""
        return min(context / self.ratio, self.most_kept)

    def met(self, context: float) -> float:
        """Return the keys that a query behind so many tokens meets."""
        return min(context / self.ratio, self.most_met)

    def mean(self, most: float, sequence: float) -> float:
        """Return the mean, over the positions of a sequence, of its keys up to so many.

        Without a limit that is half of the last position's.
        """
        reach = min(sequence, most * self.ratio)
        return (reach - reach * reach / (2 * sequence)) / self.ratio


class Attention(BaseModel):
    """Some layers of one kind of attention."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: PositiveInt

    @abstractmethod
    def parameters(self, hidden: int) -> int:
        """Return the parameters of one layer in a model of this width."""

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The keys that a query meets; none where a state stands for all of them."""
        return (Stream(),)

    @property
    def width(self) -> int:
        """Multiplications of a query with one key and its value, in training and prefill."""
        return 0

    @property
    def decode_width(self) -> int:
        """The same in decoding, where latent keys are not expanded."""
        return self.width

    @property
    def entry(self) -> float:
        """Elements that one key and its value take in a layer's cache."""
        return 0

    @property
    def state(self) -> int:
        """Elements that a layer keeps whatever the length of the sequence."""
        return 0

    def kept(self, context: float) -> float:
        """Return the elements that one layer keeps of a sequence of so many tokens."""
        return self.state + sum(
            stream.kept(context) * (self.entry + stream.index_dim) for stream in self.streams
        )

    def read(self, context: float) -> float:
        """Return the elements that one layer reads for the next token: keys that it meets, all indices."""
        return self.state + sum(
            stream.met(context) * self.entry + stream.kept(context) * stream.index_dim
            for stream in self.streams
        )

    def decode_work(self, context: float) -> float:
        """Return the multiplications of one layer for the next token behind so many."""
        return sum(
            stream.met(context) * self.decode_width
            + stream.kept(context) * stream.index_heads * stream.index_dim
            for stream in self.streams
        )

    def prefill_work(self, sequence: float, *, causal: bool = True) -> float:
        """Return the multiplications of one layer for a token of a sequence, the mean of all its tokens.

        Without `causal` each token meets those behind it, too.
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
