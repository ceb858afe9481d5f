"""Which experts each token goes to: seeded, drawn on the host, and so equal on every backend.

Routers of real models are skewed, and a balanced deal flatters a chip, so the distribution is a
parameter of the case. The choice respects a router's group limit (DeepSeek-V2 and V3).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.kernels.inputs import generator

Routing = Literal["balanced", "uniform", "power_law", "trace"]


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
) -> NDArray[np.int32]:
    """Return each token's experts, [tokens, top_k] int32, ascending within a token and distinct.

    balanced: experts are dealt in turn, so that their loads differ by one token at most.
    uniform: every expert is equally likely. power_law: the expert of rank r (in an order drawn from
    the seed) is chosen with a weight of r**-exponent. The last two sample without replacement by
    adding Gumbel noise to log weights and taking the largest (Vieira 2014; Kool et al. 2019).
    """
    random = generator(seed, f"routing/{routing}")
    if routing == "balanced":
        # A multiple of top_k as the start keeps every token's run of experts inside as few groups
        # as possible; the tokens are shuffled, so that neighbours do not share experts.
        start = top_k * int(random.integers(experts))
        dealt = (start + np.arange(tokens * top_k)).reshape(tokens, top_k) % experts
        chosen = random.permutation(dealt)
        return np.sort(chosen, axis=1).astype(np.int32)
    exponent = exponent if routing == "power_law" else 0.0
    popularity = -exponent * np.log(1.0 + random.permutation(experts))
    scores = popularity + random.gumbel(size=(tokens, experts))
    if topk_groups < groups:
        grouped = scores.reshape(tokens, groups, -1)
        # DeepSeek-V3 ranks groups by their two best experts.
        best = np.sort(grouped, axis=2)[:, :, -2:].sum(axis=2)
        closed = np.argsort(best, axis=1)[:, : groups - topk_groups]
        np.put_along_axis(grouped, closed[:, :, None], -np.inf, axis=1)
    chosen = np.argpartition(-scores, top_k - 1, axis=1)[:, :top_k]
    return np.sort(chosen, axis=1).astype(np.int32)


def groups_touched_when_balanced(experts: int, top_k: int, groups: int) -> int:
    """Return the most groups that one token's experts can lie in under balanced routing."""
    size = experts // groups
    if experts % top_k == 0 and (size % top_k == 0 or top_k % size == 0):
        return max(1, top_k // size)
    return min(groups, (top_k - 2) // size + 2) if top_k > 1 else 1


def routing_sha256(chosen: NDArray[np.int32]) -> str:
    """Return the SHA-256 of a routing: equal on every machine for the same choice of experts."""
    return hashlib.sha256(np.ascontiguousarray(chosen, dtype="<i4").tobytes()).hexdigest()


@dataclass(frozen=True)
class Load:
    """How unequally experts are loaded, by the assignments that were wanted.

    `imbalance` is the busiest expert's load over the mean, `imbalance_cv` the standard deviation over
    the mean (both of all experts on the device), `experts_unused` the number never chosen, and
    `dropped` the assignments that found no room.
    """

    routing_sha256: str
    imbalance: float
    imbalance_cv: float
    experts_unused: int
    dropped: int


def expert_load(counts: NDArray[np.integer], *, dropped: int, sha256: str) -> Load:
    """Return what the loads of experts [experts] amount to."""
    return Load(
        routing_sha256=sha256,
        imbalance=float(counts.max() / counts.mean()),
        imbalance_cv=float(counts.std() / counts.mean()),
        experts_unused=int(np.count_nonzero(counts == 0)),
        dropped=dropped,
    )


def places_within_experts(local: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return how many earlier assignments go to the same expert, for each of [tokens, top_k]."""
    order = np.argsort(local, axis=None, kind="stable")
    ordered = local.ravel()[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    places = np.empty(local.size, np.int64)
    places[order] = np.arange(local.size) - starts
    return places.reshape(local.shape)
