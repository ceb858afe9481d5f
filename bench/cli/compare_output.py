"""The output of `bench compare`: means, cases, and what was not compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from bench.analysis.compare import Comparison
from bench.analysis.verdicts import NO_INTERVAL, counts_text
from bench.catalog.chips import load_chips
from bench.text.document import Block, Column, Document, Heading, Lines, Table
from bench.text.format import UNKNOWN, seconds, significant
from bench.text.naming import case_name

if TYPE_CHECKING:
    import pandas as pd

STYLES = {
    "faster": "green",
    "slower": "bold red",
    "same": "cyan",
    "undecided": "yellow",
    f"faster, {NO_INTERVAL}": "green",
    f"slower, {NO_INTERVAL}": "red",
}

# Only the largest differences in both directions are listed; `--all` lists every one.
MOST_PAIRS = 20
MOST_UNPAIRED = 8

# An interval whose ends differ by this factor is shown as too noisy.
NO_NUMBER = 4.0

NARROWEST_NAME = 20
NARROWEST_COUNTS = 14

# Narrower terminals do not show times and the ratios of utilization and energy.
WIDE = 100

# The frames of a Comparison, in the order of the JSON output.
FRAMES = ("sets", "groups", "pairs", "unpaired", "left_out")


def comparison_document(comparison: Comparison, *, everything: bool) -> Document:
    """Return the comparison for every format; `everything` lists all pairs and unpaired cases."""
    return Document(
        blocks=_blocks(comparison, everything),
        records=_pair_records(comparison),
        data=lambda: {
            "base": comparison.base,
            "others": comparison.others,
            "threshold": comparison.threshold,
            **{name: _records(getattr(comparison, name)) for name in FRAMES},
        },
    )


def _blocks(comparison: Comparison, everything: bool) -> Iterator[Block]:
    """Yield means over sets, means by kernel, the cases, and notes on what is missing."""
    for device in comparison.others:
        yield Heading(headline(comparison, device))
        yield Lines([answer(comparison, device)], role="lead")
        sets, groups = _of(comparison.sets, device), _of(comparison.groups, device)
        names = [_set_name(row) for _, row in sets.iterrows()]
        yield _means("named sets of cases (geometric means)", "set", names, sets)
        names = [_group_name(row) for _, row in groups.iterrows()]
        yield _means("by kernel, dtype and phase", "kernel", names, groups)
        yield _cases(comparison, device, everything)
    yield Lines(notes(comparison, everything=everything), role="notes")


def _pair_records(comparison: Comparison) -> Iterator[Sequence[object]]:
    """Yield the column names, then one record per pair."""
    yield ["base", *comparison.pairs.columns]
    known = comparison.pairs.notna()
    for row in _records(comparison.pairs.astype(object).where(known, None)):
        yield [comparison.base, *row.values()]


def headline(comparison: Comparison, device: str) -> str:
    """Return the sentence that names both devices and the number of cases."""
    count = len(_of(comparison.pairs, device))
    return (
        f"{device} against {comparison.base}: {_counted(count, 'shared case')}; "
        f"a ratio above 1 means that {device} is faster"
    )


def answer(comparison: Comparison, device: str) -> str:
    """Return one sentence on how fast the device is, over cases of one dtype.

    It is about the first named set of one dtype, or else about the kernel and dtype with most cases.
    """
    sets, groups = _of(comparison.sets, device), _of(comparison.groups, device)
    alike = sets[((sets["mixed"] == "") & (sets["set"] != "all")).to_numpy(bool)]
    if len(alike):
        row = alike.iloc[0]
        cases = row["meaning"]
    else:
        row = groups.sort_values("cases", kind="stable").iloc[-1]
        cases = _group_name(row)
    ratio = significant(float(row["ratio"]), 2)
    times = f"{ratio} of" if row["ratio"] < 1 else f"{ratio} times"
    spread = f"{significant(row['least'], 2)} to {significant(row['most'], 2)}"
    bounds = f"{spread} in {row['cases']} cases" if row["cases"] > 1 else "one case"
    expected = row["expected"]
    predicted = (
        ""
        if math.isnan(expected)
        else f"; {significant(float(expected), 2)} is expected from the data sheets"
    )
    return (
        f"{_title(device)} reaches {times} the rate of {_title(comparison.base)} on {cases} "
        f"({bounds}){predicted}."
    )


def _title(label: str) -> str:
    """Return the title of a chip by which a side is named; other labels as they are."""
    chip = load_chips().get(label)
    return chip.title if chip else label


def nothing_in_common(comparison: Comparison) -> list[str]:
    """Return the reasons why there is no pair."""
    return ["the files have no case in common:", *notes(comparison, everything=False)]


def failures(comparison: Comparison, below: float | None, verdicts: Sequence[str]) -> list[str]:
    """Return one line per pair that meets a condition of --fail-below or --fail-on.

    A ratio fails `below` only if its interval does not reach 1.
    """
    lines = []
    for row in _records(comparison.pairs):
        slow = below is not None and row["ratio"] < below and not row["high"] >= 1
        undecided = "undecided" in verdicts and str(row["verdict"]).endswith(NO_INTERVAL)
        if slow or undecided or row["verdict"] in verdicts:
            text = f"{case_name(row)}: {row['verdict']}, {_ratio(row)} of {comparison.base}"
            lines.append(f"{row['device']}: {text}")
    return lines


def notes(comparison: Comparison, *, everything: bool) -> list[str]:
    """Return what was not compared and why, and where intervals come from."""
    lines = []
    for _, row in comparison.left_out.iterrows():
        lines.append(f"{row['label']}: {_counted(row['rows'], 'row')} left out: {row['reason']}")
    for (side, reason), part in comparison.unpaired.groupby(["side", "reason"], sort=False):
        lines.append(f"{side}: {_counted(len(part), 'case')} without a partner: {reason}")
        names = [case_name(row) for row in _records(part)] if everything else []
        lines += [f"  {name}" for name in names]
        if not everything and len(part) <= MOST_UNPAIRED:
            lines += [f"  {case_name(row)}" for row in _records(part)]
    origin = comparison.pairs["interval_from"].value_counts()
    sources = [
        f"{origin[name]} from {text}"
        for name, text in (("rounds", "their rounds"), ("rows", "the rows' own"))
        if name in origin
    ]
    if "nothing" in origin:
        sources.append(f"{origin['nothing']} unknown, so these ratios have a direction only")
    if sources:
        lines.append(f"95 % intervals: {', '.join(sources)}")
        lines.append(f"differences below {comparison.threshold:.3g} count as equal (--threshold)")
    return lines


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = frame.astype(object).to_dict("records")
    return records


def _of(frame: pd.DataFrame, device: str) -> pd.DataFrame:
    part: pd.DataFrame = frame[(frame["device"] == device).to_numpy(bool)]
    return part


def _listed(comparison: Comparison, device: str, everything: bool) -> pd.DataFrame:
    """Return the pairs to list, from the lowest ratio to the highest."""
    pairs = _of(comparison.pairs, device).sort_values("ratio", kind="stable")
    if everything or len(pairs) <= MOST_PAIRS:
        return cast("pd.DataFrame", pairs)
    middle = slice(MOST_PAIRS // 2, -MOST_PAIRS // 2)
    ends: pd.DataFrame = pairs.drop(index=pairs.index[middle])
    return ends


def _means(title: str, first: str, names: Sequence[str], means: pd.DataFrame) -> Table:
    """Return a table of geometric means, one row per set of cases or per kernel, dtype and phase."""
    rows = [
        [
            name,
            str(row["cases"]),
            significant(row["ratio"]),
            _interval(row),
            f"{significant(row['least'])}–{significant(row['most'])}" if row["cases"] > 1 else "",
            _known(row["expected"]),
            counts_text(row),
        ]
        for name, (_, row) in zip(names, means.iterrows(), strict=True)
    ]
    titles = ("cases", "ratio", "95 %", "range", "expected")
    verdicts = Column("verdicts", "left", wraps=True, min_width=NARROWEST_COUNTS)
    return Table([_name_column(first), *map(Column, titles), verdicts], rows, title, STYLES)


def _cases(comparison: Comparison, device: str, everything: bool) -> Table:
    """Return a table of the pairs to list, without columns that are empty."""
    total, chosen = len(_of(comparison.pairs, device)), _listed(comparison, device, everything)
    columns = [
        _name_column("case"),
        Column("base", from_width=WIDE),
        Column("other", from_width=WIDE),
        *(Column(title) for title in ("ratio", "95 %", "expected")),
        Column("util ×", from_width=WIDE),
        Column("energy ×", from_width=WIDE),
        Column("verdict"),
    ]
    rows = [
        [
            _case(row),
            seconds(row["time_base_s"]),
            seconds(row["time_other_s"]),
            significant(row["ratio"]),
            _interval(row),
            " ".join(filter(None, (_known(row["expected"]), _by(row)))),
            _known(row["utilization_ratio"]),
            _known(row["energy_ratio"]),
            str(row["verdict"]),
        ]
        for _, row in chosen.iterrows()
    ]
    may_be_empty = ("util ×", "energy ×")
    kept = [
        n
        for n, column in enumerate(columns)
        if column.title not in may_be_empty or any(row[n] != UNKNOWN for row in rows)
    ]
    more = "" if len(chosen) == total else f", the largest of {total}; --all lists every one"
    return Table(
        [columns[n] for n in kept],
        [[row[n] for n in kept] for row in rows],
        f"case by case{more}",
        STYLES,
    )


def _name_column(title: str) -> Column:
    return Column(title, "left", wraps=True, min_width=NARROWEST_NAME)


def _case(row: Any) -> str:
    """Return the case and, if the sides differ, their implementations in a second line."""
    first, second = (str(row[f"implementation_{side}"]) for side in ("base", "other"))
    return case_name(row) if first == second else f"{case_name(row)}\n  {first} → {second}"


def _by(row: Any) -> str:
    return f"({row['expected_by']})" if row["expected_by"] else ""


def _known(value: float) -> str:
    return UNKNOWN if math.isnan(value) else significant(float(value))


def _interval(row: Any) -> str:
    if math.isnan(row["low"]):
        return UNKNOWN
    if row["high"] / row["low"] > NO_NUMBER:
        return "too noisy"
    return f"{significant(row['low'])}–{significant(row['high'])}"


def _ratio(row: Any) -> str:
    interval = _interval(row)
    return significant(row["ratio"]) + ("" if interval == UNKNOWN else f" [{interval}]")


def _set_name(row: Any) -> str:
    mixed = f" ({row['mixed']} mixed)" if row["mixed"] else ""
    return f"{row['set']}: {row['meaning']}{mixed}"


def _group_name(row: Any) -> str:
    return " ".join(filter(None, (row["kernel"], row["dtype"], row["phase"])))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
