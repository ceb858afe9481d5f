"""Shows a comparison: as tables on a terminal, as Markdown, CSV and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from bench.analysis.compare import VERDICTS, Comparison
from bench.results.cells import escaped
from bench.text.format import UNKNOWN, seconds, significant
from bench.text.markdown import escape_markdown, markdown_table
from bench.text.naming import case_name

if TYPE_CHECKING:
    import pandas as pd

STYLES = {"faster": "green", "slower": "bold red", "same": "cyan", "undecided": "yellow"}

# The largest differences, both ways; `--all` shows every one.
MOST_PAIRS = 20
MOST_UNPAIRED = 8

# An interval whose ends are so far apart tells nothing that is worth its digits.
NO_NUMBER = 4.0

# What a narrow terminal does without.
WIDE = 100
LESS_NEEDED = ("base", "other", "util ×", "energy ×")

Line = list[str]


def print_table(found: Comparison, *, everything: bool) -> None:
    """Print what a person asks in this order: how much, where, which cases, and what is missing."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)

    def show(title: str, header: Line, lines: list[Line], folded: int = 0) -> None:
        if not lines:
            return
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for number, name in enumerate(header):
            first = number <= folded
            table.add_column(
                name,
                justify="left" if first else "right",
                overflow="fold",
                no_wrap=number != folded,
                ratio=1 if number == folded else None,
                min_width=24 if number == folded else None,
            )
        for line in lines:
            table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in line))
        console.print(Text(f"\n{title}", style="bold cyan"))
        console.print(table)

    narrow = console.width < WIDE
    for device in found.others:
        pairs, chosen = _of(found.pairs, device), _shown(found, device, everything)
        console.print(Text(headline(found, device), style="bold"))
        show("named sets of cases (geometric means)", *_sets(found, device))
        show("by kernel, dtype and phase", *_groups(found, device))
        more = (
            "" if len(chosen) == len(pairs) else f", the largest of {len(pairs)}; --all for every"
        )
        header, cells, _ = _pairs(chosen)
        places = [n for n, name in enumerate(header) if not narrow or name not in LESS_NEEDED]
        lines = [[line[n] for n in places] for line in cells]
        show(f"case by case{more}", [header[n] for n in places], lines)
    for line in notes(found, everything=everything):
        console.print(Text(line, style="dim"))


def render(found: Comparison, form: str, *, everything: bool) -> str:
    """Return the comparison as Markdown, CSV or JSON."""
    if form == "json":
        return as_json(found) + "\n"
    if form == "csv":
        return as_csv(found)
    return as_markdown(found, everything=everything)


def headline(found: Comparison, device: str) -> str:
    """Return one sentence: who against whom, over how many cases."""
    count = len(_of(found.pairs, device))
    return (
        f"{device} against {found.base}: {count} case{'s' * (count != 1)} of both; "
        f"a ratio above 1 means {device} is faster"
    )


def nothing_in_common(found: Comparison) -> list[str]:
    """Return why there is no pair."""
    return ["the files have no case in common:", *notes(found, everything=False)]


def failures(found: Comparison, below: float | None, verdicts: Sequence[str]) -> list[str]:
    """Return a line for each pair that meets a condition under which the command is to fail.

    `below` counts where the interval does not reach one: what may be chance is no failure.
    """
    lines = []
    for row in _records(found.pairs):
        slow = below is not None and row["ratio"] < below and not row["high"] >= 1
        if slow or row["verdict"] in verdicts:
            text = f"{case_name(row)}: {row['verdict']}, {_ratio(row)} of {found.base}"
            lines.append(f"{row['device']}: {text}")
    return lines


def notes(found: Comparison, *, everything: bool) -> list[str]:
    """Return what was not compared and why, and what the figures mean."""
    lines = []
    for _, row in found.left_out.iterrows():
        lines.append(f"{row['label']}: {row['rows']} rows left out: {row['reason']}")
    for (side, reason), part in found.unpaired.groupby(["side", "reason"], sort=False):
        lines.append(f"{side}: {len(part)} cases without a partner: {reason}")
        names = [case_name(row) for row in _records(part)] if everything else []
        lines += [f"  {name}" for name in names]
        if not everything and len(part) <= MOST_UNPAIRED:
            lines += [f"  {case_name(row)}" for row in _records(part)]
    origin = found.pairs["interval_from"].value_counts()
    said = [
        f"{origin[name]} from {text}"
        for name, text in (("rounds", "their rounds"), ("rows", "the rows' own"))
        if name in origin
    ]
    if "nothing" in origin:
        said.append(f"{origin['nothing']} unknown, and so undecided")
    if said:
        lines.append(f"95 % intervals: {', '.join(said)}")
        lines.append(f"differences below {found.threshold:.3g} do not matter (--threshold)")
    return lines


def as_markdown(found: Comparison, *, everything: bool) -> str:
    """Return tables for a pull request."""
    parts = []
    for device in found.others:
        parts.append(f"### {escape_markdown(headline(found, device))}")
        parts.append(markdown_table(*_sets(found, device)[:2]))
        parts.append(markdown_table(*_groups(found, device)[:2]))
        parts.append(markdown_table(*_pairs(_shown(found, device, everything))[:2]))
    parts.append(
        "\n".join(f"- {escape_markdown(line)}" for line in notes(found, everything=everything))
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def as_csv(found: Comparison) -> str:
    """Return the pairs, a line each; no text is one that a spreadsheet computes."""
    pairs = found.pairs.copy()
    pairs.insert(0, "base", found.base)
    for name in pairs.columns:
        if pairs[name].dtype.kind not in "iufb":
            texts = pairs[name].astype(object)
            pairs[name] = [escaped(value) if isinstance(value, str) else value for value in texts]
    text: str = pairs.to_csv(index=False, lineterminator="\r\n")
    return text


def as_json(found: Comparison) -> str:
    """Return everything; unknown is null."""
    tables = ("sets", "groups", "pairs", "unpaired", "left_out")
    data = {
        "base": found.base,
        "others": list(found.others),
        "threshold": found.threshold,
        **{name: [_plain(row) for row in _records(getattr(found, name))] for name in tables},
    }
    return json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = frame.astype(object).to_dict("records")
    return records


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in row.items()}


def _plain_value(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) else None


def _of(frame: pd.DataFrame, device: str) -> pd.DataFrame:
    part: pd.DataFrame = frame[(frame["device"] == device).to_numpy(bool)]
    return part


def _shown(found: Comparison, device: str, everything: bool) -> pd.DataFrame:
    """Return the pairs to be listed, from the worst ratio to the best."""
    pairs = _of(found.pairs, device).sort_values("ratio", kind="stable")
    if everything or len(pairs) <= MOST_PAIRS:
        return cast("pd.DataFrame", pairs)
    middle = slice(MOST_PAIRS // 2, -MOST_PAIRS // 2)
    shown: pd.DataFrame = pairs.drop(index=pairs.index[middle])
    return shown


def _sets(found: Comparison, device: str) -> tuple[Line, list[Line], int]:
    header = ["set", "cases", "ratio", "95 %", "range", "expected", "verdicts"]
    lines = [
        [
            f"{row['set']}: {row['meaning']}",
            str(row["cases"]),
            significant(row["ratio"]),
            _interval(row),
            f"{significant(row['least'])}–{significant(row['most'])}",
            _known(row["expected"]),
            _counts(row),
        ]
        for _, row in _of(found.sets, device).iterrows()
    ]
    return header, lines, 0


def _groups(found: Comparison, device: str) -> tuple[Line, list[Line], int]:
    header = ["kernel", "cases", "ratio", "95 %", "range", "expected", "verdicts"]
    lines = [
        [
            " ".join(filter(None, (row["kernel"], row["dtype"], row["phase"]))),
            str(row["cases"]),
            significant(row["ratio"]),
            _interval(row),
            f"{significant(row['least'])}–{significant(row['most'])}",
            _known(row["expected"]),
            _counts(row),
        ]
        for _, row in _of(found.groups, device).iterrows()
    ]
    return header, lines, 0


def _pairs(pairs: pd.DataFrame) -> tuple[Line, list[Line], int]:
    header = ["case", "base", "other", "ratio", "95 %", "expected", "util ×", "energy ×", "verdict"]
    lines = [
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
        for _, row in pairs.iterrows()
    ]
    empty = [n for n in (6, 7) if all(line[n] == UNKNOWN for line in lines)]
    keep = [n for n in range(len(header)) if n not in empty]
    return [header[n] for n in keep], [[line[n] for n in keep] for line in lines], 0


def _case(row: Any) -> str:
    """Return the case, and where the two differ their implementations, in a line of their own."""
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


def _counts(row: Any) -> str:
    return ", ".join(f"{row[name]} {name}" for name in VERDICTS if row[name])
