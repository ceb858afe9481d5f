"""Kernel `collective`: one operation among the ranks of a group, such as all_reduce.

Sizes and bandwidths are those of nccl-tests (github.com/NVIDIA/nccl-tests, doc/PERFORMANCE.md). The size is
that of the total array: what a rank holds after an all_gather, before a reduce_scatter, and before an
all_to_all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from bench.kernels.base import Count, DtypeName, Kernel, Operand, Size, Work
from bench.kernels.dtypes import DTYPES, FloatArray
from bench.kernels.inputs import generator
from bench.kernels.verification import ErrorBound, Verification, failed

Ranks = Annotated[int, Field(ge=2, le=1 << 20, strict=True)]

SUMMED = ("all_reduce", "reduce_scatter")
IN_PLACE = ("all_reduce", "all_gather", "reduce_scatter", "broadcast")
# Operations whose total array consists of one part per rank.
DIVIDED = ("all_gather", "reduce_scatter", "all_to_all", "all_to_all_uneven")

# The largest integer up to which a dtype holds every integer; sums stay within it.
EXACT_UP_TO = {
    "float64": 1 << 24,
    "float32": 1 << 24,
    "float16": 1 << 11,
    "bfloat16": 1 << 8,
    "int8": 127,
    "float8_e4m3": 1 << 4,
}
MOST_VALUES = 1 << 16

# Payloads repeat after this many elements. It is prime: a block that is misplaced by anything but
# multiples of it shows, and libraries cut payloads at powers of two.
PERIOD = 65521

ROOT = 0  # the rank that broadcasts


@dataclass(frozen=True)
class Part:
    """A stretch of a rank's output: `count` elements of a rank's payload, or of the sum of all.

    The first of them is element `start` of that payload; `rank` None is the sum.
    """

    rank: int | None
    start: int
    count: int


@dataclass(frozen=True)
class Check:
    """How many elements of a rank's output are wrong, and the first of them."""

    wrong: int
    first: int = -1
    value: float = 0.0
    expected: float = 0.0


class Collective(Kernel):
    """One operation among `world_size` ranks on a total array of `size_bytes`.

    `world_size` is left to `bench run --ranks` unless a config sets it. `send_recv` goes from rank `sender`
    to rank `receiver`; without them, a run measures every pair. In `all_to_all_uneven`, each rank sends
    rank d a share that is proportional to d + 1. The size is rounded down to whole elements per rank.
    """

    name: ClassVar[str] = "collective"
    error_bound = ErrorBound(
        "0", "nothing: payloads are integers whose sums the dtype holds exactly", "IEEE 754"
    )

    operation: Literal[
        "all_reduce",
        "all_gather",
        "reduce_scatter",
        "all_to_all",
        "all_to_all_uneven",
        "broadcast",
        "send_recv",
    ]
    size_bytes: Size = 1 << 26
    world_size: Ranks | None = None
    sender: Count | None = None
    receiver: Count | None = None
    in_place: bool = False
    dtype: DtypeName = "float32"
    inputs: Literal["rank_and_index"] = "rank_and_index"  # type: ignore[assignment]  # no other values are verifiable
    cache: Literal["hot"] = "hot"

    @field_validator("dtype")
    @classmethod
    def _known_dtype(cls, dtype: str) -> str:
        if dtype not in EXACT_UP_TO:
            raise ValueError(f"collective has no {dtype} form; known: {', '.join(EXACT_UP_TO)}")
        return dtype

    @field_validator("graph")
    @classmethod
    def _no_graph(cls, graph: bool) -> bool:
        if graph:
            raise ValueError("collective has no graph form")
        return graph

    @model_validator(mode="after")
    def _consistent(self) -> Collective:
        if self.in_place and self.operation not in IN_PLACE:
            raise ValueError(f"{self.operation} has no in-place form; set in_place: false")
        if self.operation in SUMMED and self.dtype == "float8_e4m3":
            raise ValueError(f"{self.operation} adds, and sums in float8_e4m3 are not exact")
        pair = (self.sender, self.receiver)
        if self.operation != "send_recv" and pair != (None, None):
            raise ValueError("sender and receiver belong to send_recv")
        if (self.sender is None) != (self.receiver is None):
            raise ValueError("give sender and receiver, or neither for every pair")
        if self.sender is not None and self.sender == self.receiver:
            raise ValueError(f"rank {self.sender} cannot send to itself")
        return self

    @property
    def group_size(self) -> int | None:
        """The number of ranks; None where the run decides."""
        return self.world_size

    def for_ranks(self, ranks: int) -> list[Kernel]:
        """Return the cases that this one stands for among so many ranks; of send_recv, one per pair."""
        size = self.world_size or ranks
        if self.operation != "send_recv" or self.sender is not None:
            return [self.model_copy(update={"world_size": size})]
        return [
            self.model_copy(update={"world_size": size, "sender": sender, "receiver": other})
            for sender in range(size)
            for other in range(size)
            if sender != other
        ]

    def shape(self, model: str | None = None) -> str:
        """Return operation, size and ranks, such as `all_reduce 64 MiB, 4 ranks, in place`."""
        pair = f" {self.sender}→{self.receiver}" if self.sender is not None else ""
        ranks = f", {self.world_size} ranks" if self.world_size else ""
        place = ", in place" if self.in_place else ""
        return f"{self.operation}{pair} {_binary(self.size_bytes)}{ranks}{place}"

    def unfit(self) -> str | None:
        """Say why the world size does not fit the case; None if it does."""
        highest = max(self.sender or 0, self.receiver or 0)
        if highest >= self.ranks:
            return f"there is no rank {highest} among {self.ranks}"
        if self.elements == 0:
            parts = f" for each of {self.ranks} ranks" if self.operation in DIVIDED else ""
            return f"{self.size_bytes} bytes do not hold one element of {self.dtype}{parts}"
        if self.largest_value < 1:
            return f"sums of {self.ranks} integers are not exact in {self.dtype}"
        return None

    @property
    def ranks(self) -> int:
        """The world size, which has to be known by now."""
        assert self.world_size is not None
        return self.world_size

    @property
    def elements(self) -> int:
        """The number of elements of the total array, a multiple of the ranks where each has a part."""
        parts = self.ranks if self.operation in DIVIDED else 1
        return self.size_bytes // (DTYPES[self.dtype].bytes * parts) * parts

    @property
    def bus_factor(self) -> float:
        """Bus bandwidth over algorithm bandwidth (nccl-tests, doc/PERFORMANCE.md)."""
        n = self.ranks
        if self.operation == "all_reduce":
            return 2 * (n - 1) / n
        return (n - 1) / n if self.operation in DIVIDED else 1.0

    @property
    def largest_value(self) -> int:
        """The largest integer in a payload: its sum over all ranks is exact."""
        terms = self.ranks if self.operation in SUMMED else 1
        return min(MOST_VALUES, EXACT_UP_TO[self.dtype] // terms)

    def work(self, seed: int) -> Work:
        """Return the bytes of the total array; the additions of a sum are not counted."""
        return Work(flops=0, bytes=max(1, self.elements) * DTYPES[self.dtype].bytes)

    def memory_bytes(self) -> int:
        """Return the device memory of the rank that needs most."""
        case = self if self.world_size else self.model_copy(update={"world_size": 2})
        # Uneven shares grow with the rank; of a pair, one receives.
        most = case.ranks - 1 if case.receiver is None else case.receiver
        received = sum(part.count for part in case.parts(most)) if case.elements else 0
        return (case.sent_elements() + received) * DTYPES[self.dtype].bytes

    def input_bytes(self) -> int:
        """Return the host memory of payloads and of outputs to verify, in float32, of all ranks."""
        return (self.world_size or 2) * super().input_bytes()

    def make_inputs(self, seed: int) -> dict[str, Operand]:
        """Return nothing: each rank makes its own `payload`."""
        return {}

    def sent_elements(self) -> int:
        """Return the number of elements that each rank passes to the operation."""
        return self.elements // (self.ranks if self.operation == "all_gather" else 1)

    def send_counts(self) -> list[int]:
        """Return how many elements of an all_to_all each rank sends to each rank."""
        n = self.ranks
        if self.operation == "all_to_all":
            return [self.elements // n] * n
        ends = [self.elements * d * (d + 1) // (n * (n + 1)) for d in range(n + 1)]
        return [end - start for start, end in pairwise(ends)]

    def payload(self, rank: int, seed: int) -> NDArray[np.float32]:
        """Return what a rank passes to the operation: integers that depend on rank and index."""
        pattern = self._pattern(rank, seed).astype(np.float32)
        return np.resize(pattern, self.sent_elements())

    def parts(self, rank: int) -> list[Part]:
        """Return what a rank's output consists of, in order; nothing where it receives nothing."""
        whole = self.elements
        chunk = whole // self.ranks
        if self.operation == "all_reduce":
            return [Part(None, 0, whole)]
        if self.operation == "reduce_scatter":
            return [Part(None, rank * chunk, chunk)]
        if self.operation == "all_gather":
            return [Part(other, 0, chunk) for other in range(self.ranks)]
        if self.operation == "broadcast":
            return [Part(ROOT, 0, whole)]
        if self.operation == "send_recv":
            return [Part(self.sender, 0, whole)] if rank == self.receiver else []
        counts = self.send_counts()
        start = sum(counts[:rank])
        return [Part(other, start, counts[rank]) for other in range(self.ranks)]

    def check(self, rank: int, output: NDArray[Any], seed: int) -> Check:
        """Compare every element of a rank's output with what it has to be, exactly."""
        parts = self.parts(rank)
        expected_size = sum(part.count for part in parts)
        if output.shape != (expected_size,):
            return Check(max(1, expected_size), 0, float("nan"), float("nan"))
        wrong, first, at = 0, -1, 0
        value = expected = 0.0
        for part in parts:
            pattern = np.roll(self._source(part.rank, seed), -(part.start % PERIOD))
            pattern = pattern.astype(output.dtype)
            end = at + part.count
            for start in range(at, end, PERIOD):
                block = output[start : min(start + PERIOD, end)]
                places = np.flatnonzero(block != pattern[: len(block)])
                if len(places) and first < 0:
                    first = start + int(places[0])
                    value, expected = float(output[first]), float(pattern[places[0]])
                wrong += len(places)
            at = end
        return Check(wrong, first, value, expected)

    def tolerance(self) -> float:
        """Return 0: data arrive as they were sent, and the sums are exact."""
        return 0.0

    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Judge the checks of all ranks: `wrong`, `first`, `value` and `expected`, each [world_size]."""
        compared = "every element of every rank"
        checks = np.stack([outputs[name] for name in ("wrong", "first", "value", "expected")])
        if checks.shape[1:] != (self.ranks,):
            return failed(0.0, compared, f"checks of shape {checks.shape[1:]}, not one per rank")
        bad = np.flatnonzero(checks[0])
        if not len(bad):
            return Verification(0.0, 0.0, True, compared)
        rank = int(bad[0])
        wrong, first, value, expected = checks[:, rank]
        return failed(
            0.0,
            compared,
            f"rank {rank}: {int(wrong)} wrong element{'s' * (int(wrong) > 1)}; the first is "
            f"[{int(first)}], {value:g} instead of {expected:g}",
        )

    def _source(self, rank: int | None, seed: int) -> FloatArray:
        """Return the pattern of a rank, or the sum of all."""
        if rank is not None:
            return self._pattern(rank, seed)
        total = np.zeros(PERIOD)
        for each in range(self.ranks):
            total += self._pattern(each, seed)
        return total

    def _pattern(self, rank: int, seed: int) -> FloatArray:
        """Return one period of a rank's payload."""
        stream = generator(seed, f"collective/{rank}")
        return stream.integers(0, self.largest_value, PERIOD, endpoint=True).astype(np.float64)


def _binary(size: int) -> str:
    """Return a size in the largest binary unit that it is a multiple of."""
    for unit, bits in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size % (1 << bits) == 0:
            return f"{size >> bits} {unit}"
    return f"{size} B"
