"""Which of two devices is faster, at what, by how much, how certain that is, and why.

A ratio is the other device's rate over the base's on the same case: above one, the other is faster.
Its interval is one of the logarithm, because ratios are. Four verdicts follow from the interval and a
threshold t below which differences do not matter: faster (wholly above 1 + t), slower (wholly below
1 / (1 + t)), same (wholly between), undecided (anything else, or no interval).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.bootstrap import Runs, log_ratio_interval
from bench.analysis.case_sets import CASE_SETS
from bench.analysis.pairing import DESCRIBING, Side, half_width, make_side, pair
from bench.errors import UsageError

VERDICTS = ("faster", "slower", "same", "undecided")
DEFAULT_THRESHOLD = 0.02

# A case_id and an implementation, and the samples of the processes that measured it.
Samples = Mapping[tuple[str, str], Runs]

# So many pairs get an interval from their samples; beyond, from the rows' own intervals.
MOST_RESAMPLED = 5000


@dataclass(frozen=True)
class Comparison:
    """What came of holding devices against a base.

    `pairs`: a row a device and case that both have: what describes the case, `device`,
    `implementation_base`, `implementation_other`, `ratio`, `low`, `high`, `verdict`, `interval_from`
    (samples, rows or nothing), `utilization_ratio`, `energy_ratio` (joules of the other over the
    base's), `expected` and `expected_by` (what the data sheets predict), `time_base_s`, `time_other_s`.
    `groups`: geometric means by device, kernel, dtype and phase. `sets`: by device and named set.
    `unpaired`: cases without a partner, with the side that has them and the reason. `left_out`: rows
    that are no measurement, by side and reason.
    """

    base: str
    others: tuple[str, ...]
    threshold: float
    pairs: pd.DataFrame
    groups: pd.DataFrame
    sets: pd.DataFrame
    unpaired: pd.DataFrame
    left_out: pd.DataFrame


def compare(
    frames: Mapping[str, pd.DataFrame],
    *,
    base: str | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    same_implementation: bool = False,
    simulated: bool = False,
    samples: Mapping[str, Samples] | None = None,
) -> Comparison:
    """Hold devices against a base; `frames` are result rows by label, the base's first or named.

    By default each side's fastest implementation of a case counts; with `same_implementation` only
    equal ones are paired. `samples` are each label's, from `bench.results.samples.read_samples`; where
    both sides of a pair have them, its interval comes from them. Raises UsageError where there is
    nothing to compare.
    """
    labels = list(frames)
    if len(labels) < 2:
        raise UsageError("a comparison needs two devices: name two result files")
    base = labels[0] if base is None else base
    if base not in frames:
        raise UsageError(f"no device {base!r}; there are: {', '.join(labels)}")
    if not 0 <= threshold < 1:
        raise UsageError(f"the threshold is a fraction such as 0.02, not {threshold:g}")
    sides = {label: make_side(label, frame, simulated=simulated) for label, frame in frames.items()}
    others = tuple(label for label in labels if label != base)
    pairs, unpaired = [], []
    for label in others:
        found, alone = pair(sides[base], sides[label], same_implementation=same_implementation)
        measured = _measure(found, same_implementation, threshold, (samples or {}), base, label)
        pairs.append(measured.assign(device=label))
        unpaired.append(alone.assign(device=label))
    all_pairs = pd.concat(pairs, ignore_index=True)
    return Comparison(
        base=base,
        others=others,
        threshold=threshold,
        pairs=all_pairs,
        groups=_groups(all_pairs),
        sets=_sets(all_pairs, others),
        unpaired=pd.concat(unpaired, ignore_index=True),
        left_out=_left_out(sides.values()),
    )


def verdicts(low: np.ndarray, high: np.ndarray, threshold: float) -> np.ndarray:
    """Return the verdict on each interval of a ratio."""
    upper, lower = 1.0 + threshold, 1.0 / (1.0 + threshold)
    with np.errstate(invalid="ignore"):
        conditions = [low > upper, high < lower, (low >= lower) & (high <= upper)]
    return np.select(conditions, VERDICTS[:3], VERDICTS[3])


def _measure(
    joined: pd.DataFrame,
    same_implementation: bool,
    threshold: float,
    samples: Mapping[str, Samples],
    base: str,
    label: str,
) -> pd.DataFrame:
    """Return the pairs with ratio, interval, verdict and explanation."""
    logs = np.log(joined["time_s_base"].to_numpy(float) / joined["time_s_other"].to_numpy(float))
    halves = [
        half_width(joined[f"se_{side}"].to_numpy(float), joined[f"freedom_{side}"].to_numpy(float))
        for side in ("base", "other")
    ]
    half = np.hypot(*halves)
    low, high = logs - half, logs + half
    origin = np.where(np.isnan(half), "nothing", "rows").astype(object)
    names = {
        side: joined["implementation" if same_implementation else f"implementation_{side}"]
        for side in ("base", "other")
    }
    if base in samples and label in samples:
        once = (joined["repeats_base"] == 1) & (joined["repeats_other"] == 1)
        for index in np.flatnonzero(once.to_numpy(bool))[:MOST_RESAMPLED]:
            case = joined["case_id"][index]
            first = samples[base].get((case, names["base"][index]))
            second = samples[label].get((case, names["other"][index]))
            if first and second:
                low[index], high[index] = log_ratio_interval(first, second, case)
                origin[index] = "samples"
    expected, by = _expected(joined)
    return pd.DataFrame(
        {
            "case_id": joined["case_id"],
            "routing_sha256": joined["routing_sha256"],
            **{name: _described(joined, name) for name in DESCRIBING},
            "implementation_base": names["base"],
            "implementation_other": names["other"],
            "time_base_s": joined["time_s_base"],
            "time_other_s": joined["time_s_other"],
            "ratio": np.exp(logs),
            "low": np.exp(low),
            "high": np.exp(high),
            "verdict": verdicts(np.exp(low), np.exp(high), threshold),
            "interval_from": origin,
            "repeats_base": joined["repeats_base"],
            "repeats_other": joined["repeats_other"],
            "utilization_base": joined["utilization_base"],
            "utilization_other": joined["utilization_other"],
            "utilization_ratio": joined["utilization_other"] / joined["utilization_base"],
            "energy_ratio": joined["energy_j_other"] / joined["energy_j_base"],
            "expected": expected,
            "expected_by": by,
        }
    )


def _described(joined: pd.DataFrame, name: str) -> pd.Series:
    if name in joined:
        return joined[name]
    first, second = joined[f"{name}_base"].astype(object), joined[f"{name}_other"].astype(object)
    return first.where(first.notna(), second)


def _expected(joined: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the ratio that the data sheets predict, and by which of their figures.

    Each side cannot be faster than its peak rate and its bandwidth allow; the ratio is that of these
    least times. Where the two are bound by different things, both are named.
    """
    bounds = {}
    for side in ("base", "other"):
        with np.errstate(divide="ignore", invalid="ignore"):
            compute = joined[f"flops_{side}"].to_numpy(float) / (
                joined[f"peak_tflops_{side}"].to_numpy(float) * 1e12
            )
            memory = joined[f"bytes_{side}"].to_numpy(float) / (
                joined[f"peak_gbps_{side}"].to_numpy(float) * 1e9
            )
        # Work without FLOPs needs no peak rate, and hardly any is without bytes.
        compute = np.where(joined[f"flops_{side}"].to_numpy(float) == 0, 0.0, compute)
        known = ~np.isnan(compute) & ~np.isnan(memory)
        bounds[side] = (
            np.fmax(compute, memory),
            np.where(compute >= memory, "peak", "bandwidth"),
            known,
        )
    (base, base_by, base_known), (other, other_by, other_known) = bounds["base"], bounds["other"]
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(base_known & other_known & (other > 0), base / other, np.nan)
    by = np.where(base_by == other_by, base_by, base_by.astype(object) + " to " + other_by)
    return expected, np.where(np.isnan(expected), "", by)


def summary(pairs: pd.DataFrame) -> dict[str, Any]:
    """Return the geometric mean of pairs' ratios with its interval and range, and the verdicts.

    The interval is that of the mean over exactly these cases: what their own intervals leave open, not
    what other cases would say. That is what the range, `least` to `most`, is for.
    """
    logs = np.log(pairs["ratio"].to_numpy(float))
    half = (np.log(pairs["high"].to_numpy(float)) - np.log(pairs["low"].to_numpy(float))) / 2
    centre, spread = float(logs.mean()), float(np.sqrt((half**2).sum())) / len(logs)
    expected = np.log(pairs["expected"].to_numpy(float))
    counts = pairs["verdict"].value_counts()
    return {
        "cases": len(pairs),
        "ratio": np.exp(centre),
        "low": np.exp(centre - spread),
        "high": np.exp(centre + spread),
        "least": np.exp(logs.min()),
        "most": np.exp(logs.max()),
        "expected": np.exp(expected.mean()) if np.isfinite(expected).all() else np.nan,
        **{verdict: int(counts.get(verdict, 0)) for verdict in VERDICTS},
    }


def _groups(pairs: pd.DataFrame) -> pd.DataFrame:
    names = ["device", "kernel", "dtype", "phase"]
    keys = pairs[names].astype(object)
    keys = keys.where(keys.notna(), "")
    rows = [
        {**dict(zip(names, key, strict=True)), **summary(pairs.loc[part.index])}
        for key, part in keys.groupby(names, sort=False)
    ]
    return pd.DataFrame(rows, columns=[*names, *SUMMARY])


def _sets(pairs: pd.DataFrame, devices: Sequence[str]) -> pd.DataFrame:
    rows = []
    for device in devices:
        mine = pairs[pairs["device"] == device]
        for found in CASE_SETS.values():
            inside = mine[found.contains(mine).to_numpy(bool)] if len(mine) else mine
            if len(inside):
                rows.append(
                    {
                        "device": device,
                        "set": found.name,
                        "meaning": found.meaning,
                        **summary(inside),
                    }
                )
    return pd.DataFrame(rows, columns=["device", "set", "meaning", *SUMMARY])


SUMMARY = ("cases", "ratio", "low", "high", "least", "most", "expected", *VERDICTS)


def _left_out(sides: Any) -> pd.DataFrame:
    rows = [
        {"label": side.label, "reason": reason, "rows": count}
        for side in sides
        for reason, count in side.left_out.items()
    ]
    return pd.DataFrame(rows, columns=["label", "reason", "rows"])


__all__ = ["Comparison", "Side", "compare", "summary", "verdicts"]
