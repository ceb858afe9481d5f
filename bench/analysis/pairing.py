"""Which rows of two devices are of the same case, and what each device needed for it.

Rows of one case on one device are repeats: other runs, other devices of the kind. They are pooled, so
that their spread is part of what is known about the device.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bench.analysis.statistics import CONFIDENCE, TOO_NOISY
from bench.backend import TOLERATED_EXCESS

# What a comparison needs of a row.
COLUMNS = (
    "case_id",
    "chip",
    "simulated",
    "kernel",
    "implementation",
    "model",
    "dtype",
    "params",
    "m",
    "n",
    "k",
    "tokens",
    "pass",
    "phase",
    "stage",
    "routing_sha256",
    "flops",
    "bytes",
    "status",
    "time_median_s",
    "ci_low_s",
    "ci_high_s",
    "rounds",
    "round_medians_s",
    "reference_s",
    "host",
    "cache",
    "peak_tflops",
    "peak_gbps",
    "utilization",
    "roofline_bound",
    "energy_j",
    "warnings",
    "device_index",
    "source",
)

# Two rows with these equal are of the same case: the routing decides how much work there is.
KEY = ("case_id", "routing_sha256")

# Standard normal 97.5 % point: what half of an interval is in standard errors.
Z = 1.959964

# Two runs of one case differ by more than their rounds show, which lie within minutes of each other: 95 %
# of runs are off by this much at most, as a logarithm (benchmarks/repeatability.py).
RUN_SCATTER = 0.013

# 95 % of single visits to a case are within this of its median over many, as a logarithm. Visits differ
# by moment, allocation and process, and one visit cannot tell by how much: 7.3 % in 3274 visits on a
# shared machine (benchmarks/repeatability.py, "single visits").
VISIT_SCATTER = 0.08


@dataclass(frozen=True)
class Side:
    """One device's pooled cases, and how many rows were left out for which reason.

    `cases` has one row per case and implementation: KEY, `implementation`, `time_s` (the geometric mean of
    the repeats' medians), `se` (the standard error of its logarithm, NaN where unknown), `freedom`
    (degrees of freedom of that, infinite where the rows' own intervals decide), `repeats`, `noisy`
    (an interval too wide for a verdict), `reference_log` (of the reference product's seconds), and what
    describes the case and the device. `left_out` maps a reason to a number of rows, and `refused` the
    case_id of rows that are faster than the peak allows to the utilization that was reported.
    """

    label: str
    cases: pd.DataFrame
    left_out: dict[str, int]
    refused: dict[str, float] = field(default_factory=dict)


def usable(frame: pd.DataFrame, *, simulated: bool) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows that are a measurement of a whole case, and a count of the others by reason."""
    reasons: dict[str, pd.Series[bool]] = {
        "a stage of a layer, not a case": frame["stage"].notna(),
        "simulated: no measurement": frame["simulated"].fillna(False) & (not simulated),
        "not measured (status is not ok)": frame["status"] != "ok",
        "faster than the device's peak allows": frame["utilization"] > TOLERATED_EXCESS,
    }
    left = pd.Series(True, index=frame.index)
    counts = {}
    for reason, wrong in reasons.items():
        now = left & wrong.to_numpy(bool)
        if now.any():
            counts[reason] = int(now.sum())
        left &= ~now
    return frame[left], counts


def pool(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per case and implementation; repeats are pooled on the scale of logarithms.

    A single row has the standard error of its own interval, widened by what runs, or single visits, are
    known to differ beyond it; published rows are taken at their word. Of several, the variance of the mean is
    (τ² + mean σ²) / n, where σ are the rows' own standard errors and τ² is what the spread of the rows
    has beyond them (the moment estimator of a random-effects model, DerSimonian & Laird 1986).
    """
    if frame.empty:
        more = ["time_s", "se", "freedom", "repeats", "noisy", "reference_log"]
        return frame.reindex(columns=[*frame.columns, *more]).astype(dict.fromkeys(more, float))
    logs = np.log(frame["time_median_s"].to_numpy(float))
    low, high = (frame[name].to_numpy(float) for name in ("ci_low_s", "ci_high_s"))
    with np.errstate(divide="ignore"):
        own = np.log(high / low) / (2 * Z)
    unseen = np.where(_single_visit(frame), VISIT_SCATTER, RUN_SCATTER)
    own = np.hypot(own, np.where(frame["source"].isna(), unseen, 0.0) / Z)
    noisy = (high - low) / 2 > TOO_NOISY * frame["time_median_s"].to_numpy(float)
    keys = [_codes(frame[name]) for name in (*KEY, "implementation")]
    group = pd.MultiIndex.from_arrays(keys)
    codes, _ = pd.factorize(group)
    table = pd.DataFrame({"log": logs, "own2": own**2, "square": logs**2, "group": codes})
    grouped = table.groupby("group", sort=False)
    count = grouped["log"].count().to_numpy()
    mean = grouped["log"].mean().to_numpy()
    within = grouped["own2"].mean().to_numpy()
    # Two passes: the difference of large squares would lose what is looked for.
    deviation = (table["log"].to_numpy() - mean[codes]) ** 2
    spread = np.bincount(codes, deviation) / np.maximum(count - 1, 1)
    between = np.maximum(spread - np.nan_to_num(within), 0.0)
    variance = np.where(count > 1, (between + np.nan_to_num(within)) / count, within)
    first = table["group"].drop_duplicates().index.to_numpy()
    cases = frame.iloc[first].reset_index(drop=True)
    energy = frame["energy_j"].to_numpy(float)
    return cases.assign(
        time_s=np.exp(mean),
        se=np.sqrt(variance),
        freedom=np.where((count > 1) & (between > 0), count - 1.0, np.inf),
        repeats=count,
        reference_log=_reference_log(frame, codes),
        noisy=pd.Series(noisy).groupby(codes, sort=False).any().to_numpy(),
        energy_j=pd.Series(energy).groupby(codes, sort=False).mean().to_numpy(),
    )


def _reference_log(frame: pd.DataFrame, codes: np.ndarray) -> np.ndarray:
    """Return each group's mean logarithm of the reference product; NaN where devices are mixed."""
    logs = pd.Series(np.log(frame["reference_s"].to_numpy(float))).groupby(codes, sort=False)
    device = _codes(frame["host"]) * (1 << 20) + _codes(frame["device_index"])
    devices = pd.Series(device).groupby(codes, sort=False).nunique().to_numpy()
    return np.where(devices == 1, logs.mean().to_numpy(), np.nan)


def _single_visit(frame: pd.DataFrame) -> np.ndarray:
    """Return which rows come from one visit to the case, as all did before there were rounds."""
    return np.asarray(frame["rounds"].fillna(1).to_numpy(float) == 1)


def _codes(values: pd.Series) -> np.ndarray:
    return pd.factorize(values, use_na_sentinel=True)[0]


def make_side(label: str, frame: pd.DataFrame, *, simulated: bool = False) -> Side:
    """Return what is known of one device's cases."""
    rows, left_out = usable(frame, simulated=simulated)
    beyond = frame[(frame["status"] == "ok") & (frame["utilization"] > TOLERATED_EXCESS)]
    refused = {
        str(case): float(share)
        for case, share in beyond.groupby("case_id")["utilization"].max().items()
    }
    return Side(label, pool(rows), left_out, refused)


def best(cases: pd.DataFrame) -> pd.DataFrame:
    """Return each case's fastest implementation."""
    ordered = cases.sort_values("time_s", kind="stable")
    return ordered[~ordered.duplicated(list(KEY))].sort_index()


def pair(
    base: Side, other: Side, *, same_implementation: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs of two devices' cases, and the cases without a partner with the reason.

    Columns of the base end in `_base`, the other's in `_other`; what describes the case has no ending.
    """
    key = [*KEY, "implementation"] if same_implementation else [*KEY]
    left = base.cases if same_implementation else best(base.cases)
    right = other.cases if same_implementation else best(other.cases)
    left, right = _comparable(left, key), _comparable(right, key)
    joined = left.merge(right, on=key, how="outer", suffixes=("_base", "_other"), indicator="side")
    # In the order of the base's file, not of the keys that pandas sorts by.
    joined = joined.sort_values(["order_base", "order_other"], kind="stable")
    pairs = joined[joined["side"] == "both"].reset_index(drop=True)
    alone = joined[joined["side"] != "both"].reset_index(drop=True)
    in_base = (alone["side"] == "left_only").to_numpy()
    unpaired = pd.DataFrame(
        {
            "case_id": alone["case_id"],
            "side": np.where(in_base, base.label, other.label),
            "reason": _reasons(alone, in_base, left, right, base, other),
            **{name: _either(alone, name) for name in DESCRIBING},
        }
    )
    return pairs, unpaired


DESCRIBING = (
    "kernel",
    "model",
    "dtype",
    "params",
    "phase",
    "pass",
    "cache",
    "m",
    "n",
    "k",
    "tokens",
)


def _either(frame: pd.DataFrame, name: str) -> pd.Series:
    first, second = frame[f"{name}_base"], frame[f"{name}_other"]
    return first.astype(object).where(first.notna(), second.astype(object))


def _comparable(cases: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Return cases with keys that join: texts, and where a routing is unknown the empty one."""
    joinable = {name: cases[name].astype(object).where(cases[name].notna(), "") for name in key}
    return cases.assign(**joinable, order=range(len(cases)))


def _reasons(
    alone: pd.DataFrame,
    in_base: np.ndarray,
    left: pd.DataFrame,
    right: pd.DataFrame,
    base: Side,
    other: Side,
) -> list[str]:
    """Return why each case without a partner has none."""
    theirs = {True: set(right["case_id"]), False: set(left["case_id"])}
    refused = {True: other.refused, False: base.refused}
    names = {True: other.label, False: base.label}
    routed = {
        side: set(zip(frame["case_id"], frame["routing_sha256"], strict=True))
        for side, frame in ((True, right), (False, left))
    }
    reasons = []
    for case, routing, of_base in zip(
        alone["case_id"], alone["routing_sha256"], in_base, strict=True
    ):
        if case not in theirs[bool(of_base)] and case in refused[bool(of_base)]:
            share = refused[bool(of_base)][case]
            reasons.append(
                f"{names[bool(of_base)]} has it at {100 * share:.0f} % of its peak: left out"
            )
        elif case not in theirs[bool(of_base)]:
            reasons.append(f"{names[bool(of_base)]} has no such case")
        elif (case, routing) not in routed[bool(of_base)]:
            reasons.append(f"{names[bool(of_base)]} has it with another routing (another seed?)")
        else:
            reasons.append(f"{names[bool(of_base)]} has it by other implementations only")
    return reasons


def half_width(se: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Return half of the 95 % interval for standard errors with degrees of freedom."""
    from scipy.special import stdtrit

    finite = np.where(np.isfinite(freedom), freedom, 1e6)
    return np.asarray(stdtrit(finite, 0.5 + CONFIDENCE / 2) * se)
