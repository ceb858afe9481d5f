"""Measures what a second run says: false verdicts, coverage of intervals, and power, on this machine.

    python benchmarks/repeatability.py [--runs 6] [--config FILE] [--keep FOLDER] [--reuse FOLDER]
    python benchmarks/repeatability.py --runs 6 --rounds 1        # single visits: how far they scatter

One config is run several times, and all pairs of runs are compared as `bench compare` does. Nothing has
changed between them, so every verdict of "faster" or "slower" is false, and an interval of a ratio is
right where it contains one. Power is what remains of a real difference: one side's times are multiplied
by 1.10 and by 1.05, and a verdict is right where it names that side the slower one. The curve shows both
for other thresholds. The last table takes the geometric mean over all cases, whose interval must contain
one as well.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import bench
from bench.analysis.compare import verdicts

HERE = Path(__file__).resolve().parent
THRESHOLDS = (0.0, 0.01, 0.02, 0.03, 0.05)
FACTORS = (1.10, 1.05)
TIMES = ("time_median_s", "time_mean_s", "ci_low_s", "ci_high_s")


def run(config: Path, output: Path, more: list[str]) -> float:
    """Run the config once; return the wall seconds of the whole program."""
    command = [sys.executable, "-m", "bench", "run", str(config), "--backend", "cpu", "--quiet"]
    start = time.perf_counter()
    subprocess.run([*command, "-o", str(output), *more], check=True)
    return time.perf_counter() - start


def slower(frame: pd.DataFrame, factor: float) -> pd.DataFrame:
    """Return a run whose times are all `factor` times as long."""
    scaled = frame.assign(**{name: frame[name] * factor for name in TIMES})
    rounds = [
        None if pd.isna(text) else " ".join(f"{float(t) * factor:.9g}" for t in str(text).split())
        for text in frame["round_medians_s"]
    ]
    return scaled.assign(round_medians_s=pd.Series(rounds, frame.index, dtype=object))


def pairs_of(frames: list[pd.DataFrame], factor: float = 1.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the case pairs and the set `all` of every pair of runs, the first slowed by `factor`."""
    pairs, sets = [], []
    for base, other in itertools.combinations(frames, 2):
        comparison = bench.compare({"first": slower(base, factor), "second": other})
        pairs.append(comparison.pairs)
        sets.append(comparison.sets[comparison.sets["set"] == "all"])
    return pd.concat(pairs, ignore_index=True), pd.concat(sets, ignore_index=True)


def main() -> None:
    """Run, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=HERE / "repeatability.yaml")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--keep", type=Path, help="keep the result files in this folder")
    parser.add_argument("--reuse", type=Path, help="take the result files of an earlier call")
    options = parser.parse_args()
    more = [] if options.rounds is None else ["--rounds", str(options.rounds)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.reuse or options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if options.reuse is None:
            for number in range(options.runs):
                seconds = run(options.config, folder / f"run-{number}.csv", more)
                print(f"run {number}: {seconds:.1f} s", flush=True)
        frames = [bench.load(file) for file in sorted(folder.glob("run-*.csv"))]
    report(frames)


def report(frames: list[pd.DataFrame]) -> None:
    """Print the figures of runs that differ in nothing."""
    pairs, sets = pairs_of(frames)
    away = np.abs(np.log(pairs["ratio"]))
    covered = (pairs["low"] <= 1) & (pairs["high"] >= 1)
    rounds = pd.concat(frames)["rounds"].dropna().astype(int)
    print(f"{len(frames)} runs of {len(frames[0])} cases, {len(pairs)} pairs of equal cases")
    print(f"rounds per case: median {rounds.median():.0f}, {rounds.min()} to {rounds.max()}")
    print(f"false verdicts at 0.02: {wrong(pairs, 0.02):.1%} (at most 3 %)")
    print(f"the interval contains 1: {covered.mean():.1%} of pairs (at least 90 %)")
    print(
        f"|log ratio|: median {away.median():.2%}, 90th percentile {away.quantile(0.9):.2%}, "
        f"95th {away.quantile(0.95):.2%}, most {away.max():.2%}"
    )
    visits = single_visits(frames)
    print(
        f"single visits: half are within {np.quantile(visits, 0.5):.1%} of their case's median over all "
        f"runs, 95 % within {np.quantile(visits, 0.95):.1%} of {len(visits)}"
    )
    half = np.log(pairs["high"] / pairs["low"]) / 2
    print(f"half width of the ratio's interval: median {half.median():.2%}")
    right = {}
    for factor in FACTORS:
        slowed, _ = pairs_of(frames, factor)
        right[factor] = slowed
        found = (slowed["verdict"] == "faster").mean()
        print(f"a factor of {factor:.2f} is found: {found:.1%}")
    print("threshold  false verdicts" + "".join(f"  {factor:.2f} found" for factor in FACTORS))
    for threshold in THRESHOLDS:
        shares = [
            (
                verdicts(slowed["low"].to_numpy(), slowed["high"].to_numpy(), threshold) == "faster"
            ).mean()
            for slowed in right.values()
        ]
        print(
            f"{threshold:9.2f}  {wrong(pairs, threshold):14.1%}"
            + "".join(f"  {share:10.1%}" for share in shares)
        )
    inside = ((sets["low"] <= 1) & (sets["high"] >= 1)).mean()
    wide = np.log(sets["high"] / sets["low"]) / 2
    print(
        f"geometric mean over all cases: {sets['ratio'].min():.3f} to {sets['ratio'].max():.3f}, half "
        f"width {wide.median():.2%}; the interval contains 1 in {inside:.1%} of {len(sets)} pairs of runs"
    )
    worst = (
        pairs.assign(away=away, covered=covered)
        .groupby("case_id")
        .agg(away=("away", "max"), covered=("covered", "mean"))
    )
    print("widest cases:")
    for case, row in worst.sort_values("away", ascending=False).head(5).iterrows():
        print(f"  {case}: at most {row['away']:.1%} apart, interval right in {row['covered']:.0%}")


def single_visits(frames: list[pd.DataFrame]) -> np.ndarray:
    """Return how far each visit is from its case's median over all visits of all runs, as |log|."""
    rows = pd.concat(frames)
    away = []
    for _, part in rows.groupby("case_id", observed=True):
        texts = part["round_medians_s"].dropna()
        logs = np.log([float(text) for line in texts for text in str(line).split()])
        away.append(np.abs(logs - np.median(logs)))
    return np.concatenate(away)


def wrong(pairs: pd.DataFrame, threshold: float) -> float:
    """Return the share of pairs of equal cases that are called faster or slower."""
    found = verdicts(pairs["low"].to_numpy(), pairs["high"].to_numpy(), threshold)
    noisy = (pairs["verdict"] == "undecided").to_numpy() & (
        pairs["high"] / pairs["low"] > 3
    ).to_numpy()
    return float((np.isin(found, ("faster", "slower")) & ~noisy).mean())


if __name__ == "__main__":
    main()
