"""Which of two devices is faster, at what, by how much, how certain that is, and why.

A ratio is the other device's rate over the base's on the same case: above one, the other is faster.
Its interval is one of the logarithm, because ratios are. Four verdicts follow from the interval and a
threshold t below which differences do not matter: faster (wholly above 1 + t), slower (wholly below
1 / (1 + t)), same (wholly between), undecided (anything else). A ratio without an interval has only a
direction: `slower, no interval`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.case_sets import CASE_SETS
from bench.analysis.pairing import DESCRIBING, RUN_SCATTER, Side, half_width, make_side, pair
from bench.analysis.rounds import log_ratios, round_logs, shared_log_ratio
from bench.analysis.verdicts import DIRECTIONS, VERDICTS, directions, verdicts
from bench.errors import UsageError
from bench.kernels.dtypes import short_dtype

DEFAULT_THRESHOLD = 0.02

# Columns of pairs while a comparison is made: both sides' rounds, as arrays of logarithms.
ROUNDS = ("rounds_base", "rounds_other")


@dataclass(frozen=True)
class Comparison:
    """The result of comparing devices with a base.

    `pairs`: one row per device and shared case: what describes the case, `device`,
    `implementation_base`, `implementation_other`, `ratio`, `low`, `high`, `verdict`, `interval_from`
    (rounds, rows or nothing), `utilization_ratio`, `energy_ratio` (joules of the other over the
    base's), `expected` and `expected_by` (what the data sheets predict), `time_base_s`, `time_other_s`,
    `machine_shift` (how much slower the machine was under the base, as a logarithm; the interval takes
    it in).
    `groups`: geometric means by device, kernel, dtype and phase. `sets`: by device and named set, where
    `mixed` lists the dtypes of a set of several. `unpaired`: cases without a partner, with the side that
    has them and the reason. `left_out`: rows that are no measurement, by side and reason.
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
) -> Comparison:
    """Hold devices against a base; `frames` are result rows by label, the base's first or named.

    By default each side's fastest implementation of a case counts; with `same_implementation` only
    equal ones are paired. Where both sides of a pair have rounds, its interval comes from them. Raises
    UsageError where there is nothing to compare.
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
        joined, alone = pair(sides[base], sides[label], same_implementation=same_implementation)
        measured = _measure(joined, same_implementation, threshold)
        pairs.append(measured.assign(device=label))
        unpaired.append(alone.assign(device=label))
    all_pairs = pd.concat(pairs, ignore_index=True)
    return Comparison(
        base=base,
        others=others,
        threshold=threshold,
        pairs=all_pairs.drop(columns=[*ROUNDS]),
        groups=_groups(all_pairs),
        sets=_sets(all_pairs, others),
        unpaired=pd.concat(unpaired, ignore_index=True),
        left_out=_left_out(sides.values()),
    )


def _measure(joined: pd.DataFrame, same_implementation: bool, threshold: float) -> pd.DataFrame:
    """Return the pairs with ratio, interval, verdict and explanation."""
    rounds = {name: _rounds(joined, name.removeprefix("rounds_")) for name in ROUNDS}
    shift = _machine_shift(joined)
    logs, low, high, origin = _ratios(joined, rounds, shift)
    names = {
        side: joined["implementation" if same_implementation else f"implementation_{side}"]
        for side in ("base", "other")
    }
    noisy = (joined["noisy_base"] | joined["noisy_other"]).to_numpy(bool)
    verdict = np.where(
        origin == "nothing",
        directions(np.exp(logs), threshold),
        verdicts(np.exp(low), np.exp(high), threshold),
    )
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
            # An interval too wide for a number carries no verdict either.
            "verdict": np.where(noisy, VERDICTS[3], verdict),
            "interval_from": origin,
            "repeats_base": joined["repeats_base"],
            "repeats_other": joined["repeats_other"],
            "utilization_base": joined["utilization_base"],
            "utilization_other": joined["utilization_other"],
            "utilization_ratio": joined["utilization_other"] / joined["utilization_base"],
            "energy_ratio": _positive(joined["energy_j_other"])
            / _positive(joined["energy_j_base"]),
            "expected": expected,
            "expected_by": by,
            "machine_shift": shift,
            **rounds,
        }
    )


def _positive(joules: pd.Series) -> pd.Series:
    """Drop energies of zero, which say that a sensor was asleep."""
    return joules.where(joules > 0)


def _ratios(
    joined: pd.DataFrame, rounds: Mapping[str, np.ndarray], shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return log ratio, low, high, and where the interval comes from: rounds, rows or nothing."""
    logs = np.log(joined["time_s_base"].to_numpy(float) / joined["time_s_other"].to_numpy(float))
    halves = [
        half_width(joined[f"se_{side}"].to_numpy(float), joined[f"freedom_{side}"].to_numpy(float))
        for side in ("base", "other")
    ]
    half = np.hypot(*halves)
    center, low, high = log_ratios(*(rounds[name] for name in ROUNDS))
    low, high = _beyond_rounds(center, low, high)
    exact = ~np.isnan(low)
    origin = np.where(exact, "rounds", np.where(np.isnan(half), "nothing", "rows"))
    low, high = np.where(exact, low, logs - half), np.where(exact, high, logs + half)
    return (
        np.where(exact, center, logs),
        low - np.maximum(shift, 0.0),
        high - np.minimum(shift, 0.0),
        origin.astype(object),
    )


def _machine_shift(joined: pd.DataFrame) -> np.ndarray:
    """Return by how much the machine was slower under the base, as a logarithm; 0 where unknown.

    Known where both sides are of one device of one host, and both have timed its reference product: the
    median over all such pairs. Products of the reference's kind follow it wholly, others in part or not at
    all, so an interval takes in both.
    """
    same = np.ones(len(joined), bool)
    for name in ("host", "device_index", "chip"):
        first, second = (joined[f"{name}_{side}"].astype(object) for side in ("base", "other"))
        same &= (first == second).fillna(False).to_numpy(bool)
    logs = [joined[f"reference_log_{side}"].to_numpy(float) for side in ("base", "other")]
    shift = logs[0] - logs[1]
    known = same & np.isfinite(shift)
    return np.where(known, np.median(shift[known]) if known.any() else 0.0, 0.0)


def _beyond_rounds(center: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Return an interval from rounds, widened by what two runs differ beyond their rounds."""
    unseen = np.sqrt(2) * RUN_SCATTER
    return center - np.hypot(center - low, unseen), center + np.hypot(high - center, unseen)


def _rounds(joined: pd.DataFrame, side: str) -> np.ndarray:
    """Return a side's rounds of each pair, None where it has none or several rows are pooled."""
    rounds = round_logs(joined[f"round_medians_s_{side}"])
    rounds[(joined[f"repeats_{side}"] != 1).to_numpy(bool)] = None
    return rounds


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


def _summary(pairs: pd.DataFrame) -> dict[str, Any]:
    """Return the geometric mean of pairs' ratios with its interval and range, and the verdicts.

    The interval is that of the mean over exactly these cases: what their own intervals leave open, not
    what other cases would say. That is what the range, `least` to `most`, is for. Cases that were
    measured in the same minutes err together: the interval comes from whole rounds where there are
    rounds, and else is as wide as the cases' intervals on average, whatever their number.
    """
    logs = np.log(pairs["ratio"].to_numpy(float))
    center = float(logs.mean())
    shared = shared_log_ratio(*(list(pairs[name]) for name in ROUNDS))
    if shared is not None:
        low, high = _beyond_rounds(center, min(shared[0], center), max(shared[1], center))
        shift = float(pairs["machine_shift"].mean())
        low, high = low - max(shift, 0.0), high - min(shift, 0.0)
    else:
        widths = np.log(pairs["high"].to_numpy(float)) - np.log(pairs["low"].to_numpy(float))
        low, high = center - widths.mean() / 2, center + widths.mean() / 2
    expected = np.log(pairs["expected"].to_numpy(float))
    counts = pairs["verdict"].value_counts()
    return {
        "cases": len(pairs),
        "ratio": np.exp(center),
        "low": np.exp(low),
        "high": np.exp(high),
        "least": np.exp(logs.min()),
        "most": np.exp(logs.max()),
        "expected": np.exp(expected.mean()) if np.isfinite(expected).all() else np.nan,
        **{verdict: int(counts.get(verdict, 0)) for verdict in (*VERDICTS, *DIRECTIONS)},
    }


def _groups(pairs: pd.DataFrame) -> pd.DataFrame:
    names = ["device", "kernel", "dtype", "phase"]
    keys = pairs[names].astype(object)
    keys = keys.where(keys.notna(), "")
    rows = [
        {**dict(zip(names, key, strict=True)), **_summary(pairs.loc[part.index])}
        for key, part in keys.groupby(names, sort=False)
    ]
    return pd.DataFrame(rows, columns=[*names, *SUMMARY])


def _sets(pairs: pd.DataFrame, devices: Sequence[str]) -> pd.DataFrame:
    rows = []
    for device in devices:
        of_device = pairs[pairs["device"] == device]
        for case_set in CASE_SETS.values():
            inside = (
                of_device[case_set.contains(of_device).to_numpy(bool)]
                if len(of_device)
                else of_device
            )
            if len(inside):
                rows.append(
                    {
                        "device": device,
                        "set": case_set.name,
                        "meaning": case_set.meaning,
                        "mixed": _mixed(inside["dtype"]),
                        **_summary(inside),
                    }
                )
    return pd.DataFrame(rows, columns=["device", "set", "meaning", "mixed", *SUMMARY])


def _mixed(dtypes: pd.Series) -> str:
    """Return the dtypes of a set that mixes them, such as `bf16, f32`; empty for a set of one dtype."""
    names = sorted({short_dtype(str(name)) for name in dtypes})
    return ", ".join(names) if len(names) > 1 else ""


SUMMARY = ("cases", "ratio", "low", "high", "least", "most", "expected", *VERDICTS, *DIRECTIONS)


def _left_out(sides: Any) -> pd.DataFrame:
    rows = [
        {"label": side.label, "reason": reason, "rows": count}
        for side in sides
        for reason, count in side.left_out.items()
    ]
    return pd.DataFrame(rows, columns=["label", "reason", "rows"])


__all__ = ["Comparison", "Side", "compare"]
