"""The interval of a ratio of medians from the samples themselves.

A percentile bootstrap that resamples as the samples came about: processes first, then the samples of
each (Kalibera & Jones, Quantifying Performance Changes with Effect Size Confidence Intervals, 2012,
section 7). With one process there is nothing to resample but its samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from bench.analysis.statistics import CONFIDENCE, LEAST_SAMPLES

# The samples of each process, in seconds.
Runs = Sequence[Sequence[float]]

RESAMPLES = 2000


def log_ratio_interval(base: Runs, other: Runs, name: str) -> tuple[float, float]:
    """Return the 95 % interval of log(median of base / median of other); NaN for too few samples.

    `name` seeds the resampling: the same samples give the same interval, whatever else is compared.
    """
    if min(sum(map(len, base)), sum(map(len, other))) < LEAST_SAMPLES:
        return float("nan"), float("nan")
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    random = np.random.default_rng(seed)
    logs = np.log(_medians(base, random)) - np.log(_medians(other, random))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(logs, [tail, 1 - tail])
    return float(low), float(high)


def _medians(runs: Runs, random: np.random.Generator) -> np.ndarray:
    """Return the median of each resample, [RESAMPLES]."""
    arrays = [np.asarray(run, float) for run in runs if len(run)]
    if len(arrays) == 1:
        values = arrays[0]
        drawn = values[random.integers(len(values), size=(RESAMPLES, len(values)))]
        return np.asarray(np.median(drawn, axis=1))
    medians = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        chosen = [arrays[place] for place in random.integers(len(arrays), size=len(arrays))]
        picked = [values[random.integers(len(values), size=len(values))] for values in chosen]
        medians[index] = np.median(np.concatenate(picked))
    return medians
