"""What makes a row sound: the rules by which its cells have to agree, for many rows at once.

`bench validate` lists what breaks a rule, and everything else that reads result files refuses it: a row
is evidence everywhere or nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from bench.backend import TOLERATED_EXCESS
from bench.results.case_rules import Rule, case_rules
from bench.results.column_arrays import ColumnArrays, Floats, Mask, plain
from bench.results.columns import COLUMNS, SCHEMA_VERSION
from bench.results.schema import KEY, OWN

# Cells that follow from others may differ from them as much as a spreadsheet's 15 digits make them.
CLOSE = 1e-9

# Round medians are written with nine digits.
ROUNDED = 1e-7

RATIOS = {
    "arithmetic_intensity": ("flops", "bytes", 1.0),
    "achieved_tflops": ("flops", "time_median_s", 1e12),
    "achieved_gbps": ("bytes", "time_median_s", 1e9),
    "weights_gbps": ("weight_bytes", "time_median_s", 1e9),
    "tokens_per_s": ("tokens", "time_median_s", 1.0),
    "utilization": ("achieved_tflops", "peak_tflops", 1.0),
    "utilization_of_ceiling": ("achieved_tflops", "ceiling_tflops", 1.0),
}

# Rates that a row has exactly if it has what they follow from.
EXACTLY_WITH = ("achieved_tflops", "utilization", "utilization_of_ceiling")


class Fault(NamedTuple):
    """A contradiction: the row by its place, the column, and what was expected."""

    row: int
    column: str
    message: str


def faults(columns: ColumnArrays) -> list[Fault]:
    """Return what is missing from rows or contradicts itself in them, in the order of the rows."""
    broken = [
        Fault(int(row), name, message(int(row)))
        for name, mask, message in _rules(columns)
        for row in np.flatnonzero(mask)
    ]
    return sorted(broken, key=lambda fault: fault.row)


def all_sound(columns: ColumnArrays) -> bool:
    """Whether no row breaks a rule."""
    return not any(mask.any() for _, mask, _ in _rules(columns))


class Repeats:
    """Finds rows of one file that have the same key as an earlier one."""

    def __init__(self) -> None:
        self._lines: dict[tuple[object, ...], int] = {}

    def fault(self, key: tuple[object, ...], line: int) -> str | None:
        """Return what is wrong with a row in `line` whose KEY has these values, or None."""
        first = self._lines.setdefault(key, line)
        return None if first == line else f"the same {', '.join(KEY)} as in line {first}"


def _rules(columns: ColumnArrays) -> Iterator[Rule]:
    with np.errstate(all="ignore"):
        for rules in (
            _filled,
            _published,
            case_rules,
            _outcome,
            _interval,
            _rounds,
            _derived,
            _physics,
        ):
            yield from rules(columns)


def _filled(columns: ColumnArrays) -> Iterator[Rule]:
    status = columns.texts("status")
    ok = np.asarray(status == "ok", bool)
    ours = ~columns.known("source")
    rows = {"always": np.ones(columns.length, bool), "if ok": ok, "if not ok": ~ok}

    def missing(row: int) -> str:
        return f"empty, but expected in a row with status {status[row]}"

    def extra(row: int) -> str:
        return f"expected to be empty in a row with status {status[row]}"

    for column in COLUMNS:
        known = columns.known(column.name)
        if column.filled in rows:
            needed = rows[column.filled]
            yield column.name, ~known & (needed & ours if column.name in OWN else needed), missing
        if column.measured:
            yield column.name, known & ~ok, extra
    yield "error", columns.known("error") & ok, extra
    for name in EXACTLY_WITH:
        above, below, _ = RATIOS[name]
        sources = (columns.numbers(above) > 0) & (columns.numbers(below) > 0)
        both = f"{above} and {below}"
        known = columns.known(name)
        yield name, known & ~sources, _constant(f"expected to be empty without {both}")
        yield (
            name,
            ~known & sources & ok,
            _constant(f"empty, but expected where {both} are known"),
        )
    version = columns.numbers("schema_version")
    yield (
        "schema_version",
        columns.known("schema_version") & (version != SCHEMA_VERSION),
        lambda row: f"expected {SCHEMA_VERSION}, found {version[row]:.0f}",
    )


def _published(columns: ColumnArrays) -> Iterator[Rule]:
    """No row passes for published without evidence, and no evidence stands without a source."""
    published = columns.known("source")
    missing = _constant("empty, but expected in a row with a source")
    yield "evidence", published & ~columns.known("evidence"), missing
    for name in ("evidence", "source_date"):
        extra = _constant("expected to be empty without a source")
        yield name, ~published & columns.known(name), extra


def _outcome(columns: ColumnArrays) -> Iterator[Rule]:
    status, verified = columns.texts("status"), columns.numbers("verified")
    ok, wrong = np.asarray(status == "ok", bool), np.asarray(status == "wrong_result", bool)
    yield "verified", ok & (verified == 0), _constant("expected true in a row with status ok")
    yield (
        "verified",
        wrong & ~(verified == 0),
        _constant("expected false in a row with status wrong_result"),
    )
    error, tolerance = (
        np.nan_to_num(columns.numbers(n), posinf=np.inf) for n in ("rel_error", "tolerance")
    )
    yield (
        "rel_error",
        ok & (error > tolerance),
        lambda row: f"expected at most the tolerance, {plain(columns.numbers('tolerance')[row])}",
    )


def _interval(columns: ColumnArrays) -> Iterator[Rule]:
    low, median, high = (
        columns.numbers(f"{name}_s") for name in ("ci_low", "time_median", "ci_high")
    )
    has_low, has_high = ~np.isnan(low), ~np.isnan(high)
    for name, lacks in (("ci_low_s", ~has_low & has_high), ("ci_high_s", has_low & ~has_high)):
        yield name, lacks, _constant("empty, but the other end is known")
    outside = has_low & has_high & ~((low <= median) & (median <= high))
    yield (
        "time_median_s",
        outside,
        lambda row: f"expected between {low[row]} and {high[row]}, found {plain(median[row])}",
    )


def _rounds(columns: ColumnArrays) -> Iterator[Rule]:
    """The rounds' medians agree with their number and their median."""
    known = columns.known("round_medians_s")
    places = np.flatnonzero(known)
    texts = [str(text) for text in columns.texts("round_medians_s")[places]]
    lengths = np.array([text.count(" ") + 1 for text in texts], int)
    values = np.array(" ".join(texts).split(), float)
    starts = np.cumsum(lengths) - lengths
    count, median = np.full(columns.length, np.nan), np.full(columns.length, np.nan)
    positive = np.ones(columns.length, bool)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        medians = values[starts[rows][:, None] + np.arange(length)]
        count[places[rows]] = length
        median[places[rows]] = np.median(medians, axis=1)
        positive[places[rows]] = ((medians > 0) & np.isfinite(medians)).all(axis=1)
    rounds, time = columns.numbers("rounds"), columns.numbers("time_median_s")
    yield "round_medians_s", ~positive, _constant("expected times above 0")
    yield (
        "rounds",
        known & ~(rounds == count),
        lambda row: (
            f"expected {count[row]:.0f}, as round_medians_s has, found {plain(rounds[row])}"
        ),
    )
    yield (
        "time_median_s",
        known & ~_close(time, median, ROUNDED),
        lambda row: (
            f"expected {median[row]:.9g}, the median of round_medians_s, found {plain(time[row])}"
        ),
    )


def _derived(columns: ColumnArrays) -> Iterator[Rule]:
    """Rates and ratios follow from the columns that they are made of."""
    for name, (above, below, scale) in RATIOS.items():
        expected = columns.numbers(above) / columns.numbers(below) / scale
        present = columns.numbers(name)
        checked = columns.known(name) & columns.known(above) & (columns.numbers(below) > 0)
        yield name, checked & ~_close(present, expected, CLOSE), _expected(expected, present)


def _expected(expected: Floats, present: Floats) -> Callable[[int], str]:
    return lambda row: f"expected {expected[row]:.9g} by the other columns, found {present[row]}"


def _physics(columns: ColumnArrays) -> Iterator[Rule]:
    """Nothing is faster than the data sheet without a warning about it."""
    silent = ~columns.known("warnings")
    from_memory = (columns.texts("roofline_bound") == "memory") & columns.known("peak_gbps")
    for name, applies in (("utilization", silent), ("roofline_fraction", silent & from_memory)):
        ratio = columns.numbers(name)
        yield name, np.asarray(applies & (ratio > TOLERATED_EXCESS), bool), _beyond(ratio)


def _beyond(ratio: Floats) -> Callable[[int], str]:
    limit = f"expected at most {TOLERATED_EXCESS} where warnings is empty"
    return lambda row: f"{limit}, found {ratio[row]}"


def _close(a: Floats, b: Floats, tolerance: float) -> Mask:
    return np.asarray(
        (a == b) | (np.abs(a - b) <= tolerance * np.maximum(np.abs(a), np.abs(b))), bool
    )


def _constant(message: str) -> Callable[[int], str]:
    return lambda row: message
