"""The tables of a report: every row, every pair, the named sets, and what was not measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import pandas as pd

from bench.analysis.compare import Comparison
from bench.analysis.statistics import TOO_NOISY
from bench.analysis.verdicts import counts_text
from bench.backend import TOLERATED_EXCESS
from bench.reporting.figure import Table
from bench.text.format import percent, seconds, significant
from bench.text.naming import case_name

Show = Callable[[float], str]

# How many cases a line names before it counts the others.
MOST_NAMED = 6


def every_row(rows: pd.DataFrame) -> Table:
    """Return the rows that are ok as a table that a reader can sort and filter."""
    measurements = rows[rows["status"] == "ok"]
    half = (
        (measurements["ci_high_s"] - measurements["ci_low_s"]) / 2 / measurements["time_median_s"]
    )
    columns: list[tuple[str, pd.Series, Show | None]] = [
        ("device", measurements["side"], None),
        ("case", measurements["case"], None),
        ("implementation", measurements["implementation"], None),
        ("stage", measurements["stage"], None),
        ("time", measurements["time_median_s"], seconds),
        ("±", half, _half_width),
        ("TFLOP/s", measurements["achieved_tflops"], significant),
        ("GB/s", measurements["achieved_gbps"], significant),
        ("tokens/s", measurements["tokens_per_s"], _thousands),
        ("of peak", measurements["utilization"], percent),
        ("of ceiling", measurements["utilization_of_ceiling"], percent),
        ("bound", measurements["roofline_bound"], None),
        ("energy", measurements["energy_j"], _joules),
        ("warnings", measurements["warnings"], None),
    ]
    return _table(columns)


def _half_width(half: float) -> str:
    """Show half of an interval; one that is too wide for a number is none."""
    return _tenths(half) if half <= TOO_NOISY else f">{percent(TOO_NOISY)}"


def every_pair(comparison: Comparison) -> Table | None:
    """Return the pairs of a comparison as a table that a reader can sort and filter."""
    pairs = comparison.pairs
    if pairs.empty:
        return None
    interval = [
        f"{significant(low)}–{significant(high)}" if pd.notna(low) else "unknown"
        for low, high in zip(pairs["low"], pairs["high"], strict=True)
    ]
    names = _names(pairs)
    columns: list[tuple[str, pd.Series, Show | None]] = [
        ("device", pairs["device"], None),
        ("case", pd.Series(names, pairs.index), None),
        (f"time of {comparison.base}", pairs["time_base_s"], seconds),
        ("its time", pairs["time_other_s"], seconds),
        ("ratio", pairs["ratio"], significant),
        ("95 % interval", pd.Series(interval, pairs.index), None),
        ("verdict", pairs["verdict"], None),
        ("expected", pairs["expected"], significant),
        ("by", pairs["expected_by"], None),
        ("utilization ×", pairs["utilization_ratio"], significant),
        ("energy ×", pairs["energy_ratio"], significant),
    ]
    return _table(columns)


def sets_table(comparison: Comparison) -> Table | None:
    """Return the geometric means over named sets with interval, range, and how often which verdict."""
    if comparison.sets.empty:
        return None
    header = ("device", "set of cases", "cases", "mean", "95 % interval", "range", "expected")
    lines: list[tuple[str, ...]] = []
    for row in comparison.sets.to_dict("records"):
        verdicts = counts_text(row)
        interval = f"{significant(row['low'])}–{significant(row['high'])}"
        numbers = (
            significant(row["ratio"]),
            interval if pd.notna(row["low"]) else "unknown",
            f"{significant(row['least'])}–{significant(row['most'])}" if row["cases"] > 1 else "",
            significant(row["expected"]) if pd.notna(row["expected"]) else "",
        )
        mixed = f" ({row['mixed']} mixed)" if row["mixed"] else ""
        name = f"{row['set']}: {row['meaning']}{mixed}"
        lines.append((str(row["device"]), name, str(row["cases"]), *numbers, verdicts))
    return Table((*header, "verdicts"), lines, numeric=frozenset(range(2, 7)))


def not_measured(rows: pd.DataFrame, comparison: Comparison | None) -> Table | None:
    """Return what has no rate or no partner, and why; None where there is nothing."""
    failed = rows[rows["status"] != "ok"]
    lines: list[tuple[str, ...]] = [
        (str(side), _listed(group["case"]), str(status), "" if pd.isna(error) else str(error))
        for (side, status, error), group in failed.groupby(
            ["side", "status", "error"], observed=True, sort=False, dropna=False
        )
    ]
    beyond = rows[(rows["status"] == "ok") & (rows["utilization"] > TOLERATED_EXCESS)]
    lines += [
        (
            str(side),
            _listed(group["case"]),
            "left out of the charts",
            "faster than the device's peak allows: the measurement or the peak is wrong",
        )
        for side, group in beyond.groupby("side", observed=True)
    ]
    if comparison is not None:
        lines += [
            (str(side), _listed(_names(group)), "not compared", str(why))
            for (side, why), group in comparison.unpaired.groupby(["side", "reason"], sort=False)
        ]
    return Table(("device", "cases", "outcome", "reason"), lines) if lines else None


def _table(columns: list[tuple[str, pd.Series, Show | None]]) -> Table:
    """Return a table that sorts and filters, without columns that hold nothing.

    A column with a way to show it is one of numbers.
    """
    columns = [column for column in columns if (column[1].notna() & (column[1] != "")).any()]
    texts: list[list[str]] = []
    keys: list[Sequence[object]] = []
    for _, values, show in columns:
        plain = [None if pd.isna(value) else value for value in values]
        if show is None:
            texts.append(["" if value is None else str(value) for value in plain])
            keys.append(texts[-1])
        else:
            texts.append(["" if value is None else show(float(value)) for value in plain])
            keys.append([None if value is None else float(value) for value in plain])
    return Table(
        tuple(name for name, _, _ in columns),
        list(zip(*texts, strict=True)),
        list(zip(*keys, strict=True)),
        frozenset(place for place, column in enumerate(columns) if column[2] is not None),
        filters=True,
    )


def _names(cases: pd.DataFrame) -> list[str]:
    return [case_name(row) for row in cast(list[dict[str, Any]], cases.to_dict("records"))]


def _listed(cases: Iterable[str]) -> str:
    names = list(dict.fromkeys(cases))
    more = f"; and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return "; ".join(names[:MOST_NAMED]) + more


def _tenths(value: float) -> str:
    return percent(value, 1)


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


def _joules(value: float) -> str:
    return f"{significant(value)} J"
