"""The rounds behind result rows, as arrays: what intervals of ratios and of their means are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.shift import Floats, shift_rank, shifts

Intervals = tuple[Floats, Floats, Floats]  # estimate, low, high


def round_logs(texts: pd.Series) -> NDArray[np.object_]:
    """Return the logarithms of each row's round medians; None where a row has none.

    `texts` is the column `round_medians_s`: numbers separated by spaces.
    """
    logs = np.full(len(texts), None, dtype=object)
    known = np.flatnonzero(texts.notna().to_numpy(bool))
    if len(known):
        parts = [str(text).split() for text in texts.iloc[known]]
        ends = np.cumsum([len(part) for part in parts])
        values = np.log(np.array([number for part in parts for number in part], float))
        for place, row in zip(np.split(values, ends[:-1]), known, strict=True):
            logs[row] = place
    return logs


def log_ratios(base: NDArray[np.object_], other: NDArray[np.object_]) -> Intervals:
    """Return log(base time / other time) of each pair with its 95 % interval, from both sides' rounds.

    NaN where a side has no rounds, or too few for an interval.
    """
    shapes: dict[tuple[int, int], list[int]] = {}
    for index, (first, second) in enumerate(zip(base, other, strict=True)):
        if first is not None and second is not None and shift_rank(len(first), len(second)):
            shapes.setdefault((len(first), len(second)), []).append(index)
    nothing = np.full(len(base), np.nan)
    intervals = (nothing, nothing.copy(), nothing.copy())
    for indices in shapes.values():
        parts = shifts(np.stack(list(base[indices])), np.stack(list(other[indices])))
        for whole, part in zip(intervals, parts, strict=True):
            whole[indices] = part
    return intervals


def shared_log_ratio(
    base: Sequence[Floats | None], other: Sequence[Floats | None]
) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean log ratio over pairs; None where rounds do not give it.

    Cases of one run share its moments: where the machine was slow in a round, all cases were. So
    the unit is a round over all cases, not a case, and the interval is as wide as those moments are
    apart. Of cases with different numbers of rounds, as many are taken as all have.
    """
    means = []
    for side in (base, other):
        known = [rounds for rounds in side if rounds is not None]
        if len(known) < len(side) or not known:
            return None
        common = min(map(len, known))
        means.append(np.mean([rounds[:common] for rounds in known], axis=0)[None, :])
    _, low, high = shifts(*means)
    return None if np.isnan(low[0]) else (float(low[0]), float(high[0]))
