"""Which experts each token goes to: drawn from a seed on the host, and so equal on every backend.

Routers of real models are skewed, and balanced loads flatter a chip, so the distribution is a parameter
of the case. The choice respects a router's group limit (DeepSeek-V2 and V3).
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.kernels.inputs import generator

# Work, inputs, verification and the rows of stages all need the drawing of the case at hand; so do the
# next cases that differ only in what is computed. A drawing takes 4 bytes per assignment.
DRAWINGS_KEPT = 4

# Tokens are drawn in blocks of about this many scores, which fit into a core's cache.
BLOCK_SCORES = 1 << 18

# No layer of a published model comes near these; a typing error may.
MOST_EXPERTS = 1 << 20
MOST_ASSIGNMENTS = 1 << 27
MOST_SCORES = 1 << 32

Routing = Literal["balanced", "uniform", "power_law", "trace"]


def check_sizes(*, tokens: int, experts: int, top_k: int, name: str) -> None:
    """Raise ValueError for routing that is too large to draw; `name` is the parameter of the tokens."""
    if experts > MOST_EXPERTS:
        raise ValueError(f"experts: expected at most {MOST_EXPERTS}, got {experts}")
    if tokens * top_k > MOST_ASSIGNMENTS:
        raise ValueError(
            f"{name}: {tokens} in all, times top_k ({top_k}), is more than {MOST_ASSIGNMENTS} "
            "assignments to experts"
        )
    if tokens * experts > MOST_SCORES:
        raise ValueError(
            f"{name}: {tokens} in all, times {experts} experts, is more than {MOST_SCORES} scores"
        )


@lru_cache(maxsize=DRAWINGS_KEPT)
def choose_experts(
    *,
    tokens: int,
    experts: int,
    top_k: int,
    groups: int,
    topk_groups: int,
    routing: Routing,
    exponent: float,
    seed: int,
    zero_experts: int = 0,
) -> NDArray[np.int32]:
    """Draw the experts of each token, [tokens, top_k] int32: distinct, ascending, read-only.

    The last `zero_experts` of `experts` compute nothing.

    balanced: experts are dealt in turn, so that their loads differ by at most one token; those that
    compute nothing are spread evenly among the others, so that tokens differ little in their work.
    uniform: every expert is equally likely. power_law: the expert of rank r, in an order drawn from the
    seed, is chosen with weight r**-exponent. The last two sample without replacement by adding Gumbel
    noise to log weights and taking the largest (Vieira 2014; Kool et al. 2019).
    """
    random = generator(seed, f"routing/{routing}")
    if routing == "balanced":
        # Starting at a multiple of top_k keeps each token's run of experts within as few groups as
        # possible. Tokens are shuffled, so that neighbors do not share experts.
        start = top_k * int(random.integers(experts))
        dealt = (start + np.arange(tokens * top_k)).reshape(tokens, top_k) % experts
        if zero_experts:
            dealt = _spread(experts, zero_experts)[dealt]
        return _sorted(random.permutation(dealt))
    exponent = exponent if routing == "power_law" else 0.0
    popularity = -exponent * np.log(1.0 + random.permutation(experts))
    chosen = np.empty((tokens, top_k), np.int32)
    block = max(1, BLOCK_SCORES // experts)

    def draw(first: int) -> None:
        part = chosen[first : first + block]
        # Each score takes one number of the stream, so blocks do not depend on how many there are.
        noise = np.random.Generator(np.random.PCG64())
        noise.bit_generator.state = after_popularity
        noise.bit_generator.advance(first * experts)  # type: ignore[attr-defined]
        scores = popularity + noise.gumbel(size=(len(part), experts))
        if topk_groups < groups:
            _close_groups(scores, groups, topk_groups)
        part[...] = np.argpartition(-scores, top_k - 1, axis=1)[:, :top_k]

    after_popularity = random.bit_generator.state
    starts = range(0, tokens, block)
    if len(starts) == 1:
        draw(0)
    else:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(draw, starts))
    return _sorted(chosen)


def _spread(experts: int, zero_experts: int) -> NDArray[np.int64]:
    """Order the experts for dealing when the last `zero_experts` compute nothing."""
    counts = experts - zero_experts, zero_experts
    place = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    return np.argsort(place, kind="stable")


def _close_groups(scores: NDArray[np.float64], groups: int, topk_groups: int) -> None:
    """Leave each token the experts of its `topk_groups` best groups; set other scores to -∞."""
    grouped = scores.reshape(len(scores), groups, -1)
    # DeepSeek-V3 ranks groups by their two best experts.
    two = min(2, grouped.shape[2])
    best = np.partition(grouped, -two, axis=2)[:, :, -two:].sum(axis=2)
    closed = np.argsort(best, axis=1)[:, : groups - topk_groups]
    np.put_along_axis(grouped, closed[:, :, None], -np.inf, axis=1)


def drawing_bytes(tokens: int, experts: int, top_k: int, routing: Routing) -> int:
    """Return the host memory that `choose_experts` takes at its peak: three arrays of 64-bit numbers."""
    columns = experts if routing in ("uniform", "power_law") else top_k
    return 3 * 8 * tokens * columns


def _sorted(chosen: NDArray[np.integer]) -> NDArray[np.int32]:
    """Finish a drawing: ascending within a token, and read-only because it is shared."""
    drawing = np.sort(chosen, axis=1).astype(np.int32)
    drawing.flags.writeable = False
    return drawing


def groups_touched_when_balanced(experts: int, top_k: int, groups: int) -> int:
    """Count the groups that a token's experts span at most under balanced routing."""
    size = experts // groups
    if experts % top_k == 0 and (size % top_k == 0 or top_k % size == 0):
        return max(1, top_k // size)
    return min(groups, (top_k - 2) // size + 2) if top_k > 1 else 1


def routing_sha256(chosen: NDArray[np.int32]) -> str:
    """Hash a routing (SHA-256): the same experts give the same hash on every machine."""
    return hashlib.sha256(np.ascontiguousarray(chosen, dtype="<i4").tobytes()).hexdigest()


@dataclass(frozen=True)
class Load:
    """How unequal the loads of experts are, counting all assignments, dropped ones too.

    Over the experts on the device, `imbalance` is the largest load divided by the mean, and
    `imbalance_cv` the standard deviation divided by the mean. `experts_unused` counts experts without a
    token, `dropped` the assignments beyond an expert's capacity. `device_load` is the load of the device
    divided by the mean of all devices that share the experts, None for a single one.
    """

    routing_sha256: str
    imbalance: float
    imbalance_cv: float
    experts_unused: int
    dropped: int
    device_load: float | None = None


def expert_load(
    counts: NDArray[np.integer],
    *,
    dropped: int,
    sha256: str,
    device_load: float | None = None,
) -> Load:
    """Summarize the loads of experts, `counts` [experts]. Experts without any assignment are balanced."""
    mean = counts.mean()
    return Load(
        routing_sha256=sha256,
        imbalance=float(counts.max() / mean) if mean else 1.0,
        imbalance_cv=float(counts.std() / mean) if mean else 0.0,
        experts_unused=int(np.count_nonzero(counts == 0)),
        dropped=dropped,
        device_load=device_load,
    )


def places_within_experts(experts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count, for each assignment given by its expert, the earlier ones to the same expert."""
    order = np.argsort(experts, kind="stable")
    ordered = experts[order]
    places = np.empty(experts.size, np.int64)
    places[order] = np.arange(experts.size) - np.searchsorted(ordered, ordered, side="left")
    return places
