"""Which experts each token goes to: drawn from a seed on the host, and so equal on every backend.

Routers of real models are skewed, and balanced loads flatter a chip, so the distribution is a parameter
of the case. The choice respects a router's group limit (DeepSeek-V2 and V3).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.kernels.inputs import generator

# Work, inputs, verification and the rows of stages all need the drawing of the case at hand; so do the
# next cases that differ only in what is computed. A drawing takes 4 bytes per assignment.
DRAWINGS_KEPT = 4

Routing = Literal["balanced", "uniform", "power_law", "trace"]


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
) -> NDArray[np.int32]:
    """Return the experts of each token, [tokens, top_k] int32: distinct, ascending, read-only.

    balanced: experts are dealt in turn, so that their loads differ by at most one token.
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
        return _sorted(random.permutation(dealt))
    exponent = exponent if routing == "power_law" else 0.0
    popularity = -exponent * np.log(1.0 + random.permutation(experts))
    scores = popularity + random.gumbel(size=(tokens, experts))
    if topk_groups < groups:
        grouped = scores.reshape(tokens, groups, -1)
        # DeepSeek-V3 ranks groups by their two best experts.
        best = np.sort(grouped, axis=2)[:, :, -2:].sum(axis=2)
        closed = np.argsort(best, axis=1)[:, : groups - topk_groups]
        np.put_along_axis(grouped, closed[:, :, None], -np.inf, axis=1)
    return _sorted(np.argpartition(-scores, top_k - 1, axis=1)[:, :top_k])


def drawing_bytes(tokens: int, experts: int, top_k: int, routing: Routing) -> int:
    """Return the host memory that `choose_experts` takes at its peak: three arrays of 64-bit numbers."""
    columns = experts if routing in ("uniform", "power_law") else top_k
    return 3 * 8 * tokens * columns


def _sorted(chosen: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return a drawing in its final form: ascending within a token, and read-only, as it is shared."""
    drawing = np.sort(chosen, axis=1).astype(np.int32)
    drawing.flags.writeable = False
    return drawing


def groups_touched_when_balanced(experts: int, top_k: int, groups: int) -> int:
    """Return the largest number of groups that a token's experts span under balanced routing."""
    size = experts // groups
    if experts % top_k == 0 and (size % top_k == 0 or top_k % size == 0):
        return max(1, top_k // size)
    return min(groups, (top_k - 2) // size + 2) if top_k > 1 else 1


def routing_sha256(chosen: NDArray[np.int32]) -> str:
    """Return the SHA-256 of a routing, which is the same on every machine for the same experts."""
    return hashlib.sha256(np.ascontiguousarray(chosen, dtype="<i4").tobytes()).hexdigest()


@dataclass(frozen=True)
class Load:
    """How unequal the loads of experts are, counting all assignments, dropped ones too.

    Over the experts on the device, `imbalance` is the largest load divided by the mean, and
    `imbalance_cv` the standard deviation divided by the mean. `experts_unused` counts experts without a
    token, `dropped` the assignments beyond an expert's capacity.
    """

    routing_sha256: str
    imbalance: float
    imbalance_cv: float
    experts_unused: int
    dropped: int


def expert_load(counts: NDArray[np.integer], *, dropped: int, sha256: str) -> Load:
    """Summarize the loads of experts, `counts` [experts]."""
    return Load(
        routing_sha256=sha256,
        imbalance=float(counts.max() / counts.mean()),
        imbalance_cv=float(counts.std() / counts.mean()),
        experts_unused=int(np.count_nonzero(counts == 0)),
        dropped=dropped,
    )


def places_within_experts(local: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return for each assignment [tokens, top_k] the number of earlier ones to the same expert."""
    order = np.argsort(local, axis=None, kind="stable")
    ordered = local.ravel()[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    places = np.empty(local.size, np.int64)
    places[order] = np.arange(local.size) - starts
    return places.reshape(local.shape)
