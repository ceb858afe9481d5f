"""Which verdict an interval of a ratio gives, and how verdicts of many cases are counted."""

from __future__ import annotations

from typing import Any

import numpy as np

VERDICTS = ("faster", "slower", "same", "undecided")

# Without an interval the ratio has a direction, but nothing says how certain it is.
NO_INTERVAL = "no interval"
DIRECTIONS = tuple(f"{verdict}, {NO_INTERVAL}" for verdict in VERDICTS[:3])


def verdicts(low: np.ndarray, high: np.ndarray, threshold: float) -> np.ndarray:
    """Return the verdict on each interval of a ratio."""
    upper, lower = 1.0 + threshold, 1.0 / (1.0 + threshold)
    with np.errstate(invalid="ignore"):
        conditions = [low > upper, high < lower, (low >= lower) & (high <= upper)]
    return np.select(conditions, VERDICTS[:3], VERDICTS[3])


def directions(ratio: np.ndarray, threshold: float) -> np.ndarray:
    """Return the direction of each ratio that has no interval: `slower, no interval`."""
    named = verdicts(ratio, ratio, threshold).astype(object)
    return np.asarray(named + f", {NO_INTERVAL}")


def counts_text(counts: Any) -> str:
    """Return how many cases have which verdict: `2 faster, 1 undecided; 3 slower, no interval`.

    `counts` has a number for each of VERDICTS and DIRECTIONS: a mapping, or a row of a frame.
    """
    known = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])
    bare = ", ".join(
        f"{counts[name]} {name.removesuffix(f', {NO_INTERVAL}')}"
        for name in DIRECTIONS
        if counts[name]
    )
    return "; ".join(filter(None, (known, f"{bare}, {NO_INTERVAL}" if bare else "")))
