"""Checks a result file: each cell by itself, and whether the cells of a row agree."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

from bench.backend import TOLERATED_EXCESS
from bench.config.cases import canonical_json
from bench.kernels.dtypes import DTYPES
from bench.results.columns import COLUMNS, SCHEMA_VERSION, Row
from bench.results.reader import Problem, open_result, scan
from bench.results.schema import KEY, OWN, is_published

# Cells that follow from others may differ from them as much as a spreadsheet's 15 digits make them.
CLOSE = 1e-9

# Round medians are written with nine digits.
ROUNDED = 1e-7

Fault = tuple[str, str]  # column and message


def validate(path: Path | str) -> list[Problem]:
    """Return all that is wrong in a result file, by line; empty if it is sound.

    Raises UsageError for what is not a result file at all.
    """
    problems: list[Problem] = []
    seen: dict[tuple[object, ...], int] = {}
    with open_result(Path(path)) as stream:
        for line, row, unreadable in scan(stream, str(path), problems.append):
            if unreadable:
                problems += unreadable
                continue
            problems += [Problem(line, column, message) for column, message in check_row(row)]
            key = tuple(row[name] for name in KEY)
            if key in seen:
                message = f"the same {', '.join(KEY)} as in line {seen[key]}"
                problems.append(Problem(line, "case_id", message))
            seen.setdefault(key, line)
    return sorted(problems, key=lambda problem: problem.line)


def check_row(row: Row) -> Iterator[Fault]:
    """Yield what is missing from a row, or contradicts itself in it."""
    yield from _check_filled(row)
    yield from _check_publication(row)
    yield from _check_case(row)
    yield from _check_outcome(row)
    yield from _check_interval(row)
    yield from _check_rounds(row)
    for name, expected in derived(row).items():
        found = row[name]
        if found is not None and not math.isclose(_number(found), expected, rel_tol=CLOSE):
            yield name, f"expected {expected:.9g} by the other columns, found {found}"
    yield from _check_physics(row)


def derived(row: Row) -> dict[str, float]:
    """Return what rates and ratios have to be by the columns they are made of."""
    ratios = {
        "arithmetic_intensity": ("flops", "bytes", 1.0),
        "achieved_tflops": ("flops", "time_median_s", 1e12),
        "achieved_gbps": ("bytes", "time_median_s", 1e9),
        "weights_gbps": ("weight_bytes", "time_median_s", 1e9),
        "tokens_per_s": ("tokens", "time_median_s", 1.0),
        "utilization": ("achieved_tflops", "peak_tflops", 1.0),
        "utilization_of_ceiling": ("achieved_tflops", "ceiling_tflops", 1.0),
    }
    return {
        name: _number(row[above]) / _number(row[below]) / scale
        for name, (above, below, scale) in ratios.items()
        if row[above] is not None and row[below]
    }


def _check_filled(row: Row) -> Iterator[Fault]:
    status = row["status"]
    now = {"always": True, "if ok": status == "ok", "if not ok": status != "ok"}
    for column in COLUMNS:
        filled = row[column.name] is not None
        needed = not (is_published(row) and column.name in OWN)
        if now.get(column.filled, False) and needed and not filled:
            yield column.name, f"empty, but expected in a row with status {status}"
        if filled and status != "ok" and column.measured:
            yield column.name, f"expected to be empty in a row with status {status}"
    if status == "ok" and row["error"] is not None:
        yield "error", "expected to be empty in a row with status ok"
    for name, sources in (
        ("achieved_tflops", ("flops", "time_median_s")),
        ("utilization", ("achieved_tflops", "peak_tflops")),
        ("utilization_of_ceiling", ("achieved_tflops", "ceiling_tflops")),
    ):
        known = all(row[source] for source in sources)
        if row[name] is not None and not known:
            yield name, f"expected to be empty without {' and '.join(sources)}"
        if row[name] is None and known and status == "ok":
            yield name, f"empty, but expected where {' and '.join(sources)} are known"
    if row["schema_version"] not in (None, SCHEMA_VERSION):
        yield "schema_version", f"expected {SCHEMA_VERSION}, found {row['schema_version']}"


def _check_publication(row: Row) -> Iterator[Fault]:
    """Let no row pass for published without evidence, nor evidence stand without a source."""
    if is_published(row) and row["evidence"] is None:
        yield "evidence", "empty, but expected in a row with a source"
    for name in ("evidence", "source_date"):
        if not is_published(row) and row[name] is not None:
            yield name, "expected to be empty without a source"


def _check_case(row: Row) -> Iterator[Fault]:
    """Hold case_id and the parameters' columns against kernel, dtype and params."""
    dtype = DTYPES.get(str(row["dtype"]))
    prefix = f"{row['kernel']}-{dtype.short if dtype else row['dtype']}-"
    if not re.fullmatch(f"{re.escape(prefix)}[0-9a-f]{{10}}", str(row["case_id"])):
        yield "case_id", f"expected {prefix} and 10 hexadecimal digits, found {row['case_id']}"
    if row["params"] is None:
        return
    params = json.loads(str(row["params"]))
    try:
        canonical = canonical_json(params)
    except ValueError as error:  # NaN and infinity, which Python's reader lets through
        yield "params", f"expected JSON: {error}"
        return
    if row["params"] != canonical:
        yield "params", "expected canonical JSON: sorted keys, no spaces"
    for column in COLUMNS:
        if column.parameter and row[column.name] != params.get(column.name):
            there = params.get(column.name, "none")
            yield column.name, f"expected {there} as in params, found {row[column.name]}"


def _check_outcome(row: Row) -> Iterator[Fault]:
    status, verified = row["status"], row["verified"]
    if status == "ok" and verified is False:
        yield "verified", "expected true in a row with status ok"
    if status == "wrong_result" and verified is not False:
        yield "verified", "expected false in a row with status wrong_result"
    if status == "ok" and _number(row["rel_error"]) > _number(row["tolerance"]):
        yield "rel_error", f"expected at most the tolerance, {row['tolerance']}"


def _check_interval(row: Row) -> Iterator[Fault]:
    low, median, high = row["ci_low_s"], row["time_median_s"], row["ci_high_s"]
    if (low is None) != (high is None):
        yield "ci_low_s" if low is None else "ci_high_s", "empty, but the other end is known"
    elif low is not None and not _number(low) <= _number(median) <= _number(high):
        yield "time_median_s", f"expected between {low} and {high}, found {median}"


def _check_rounds(row: Row) -> Iterator[Fault]:
    """Hold the rounds' medians against their number and their median."""
    if row["round_medians_s"] is None:
        return
    medians = [float(text) for text in str(row["round_medians_s"]).split()]
    if row["rounds"] != len(medians):
        yield "rounds", f"expected {len(medians)}, as round_medians_s has, found {row['rounds']}"
    median = statistics.median(medians)
    if not math.isclose(_number(row["time_median_s"]), median, rel_tol=ROUNDED):
        found = row["time_median_s"]
        yield (
            "time_median_s",
            f"expected {median:.9g}, the median of round_medians_s, found {found}",
        )


def _check_physics(row: Row) -> Iterator[Fault]:
    """Let nothing be faster than the data sheet without a word about it."""
    if row["warnings"] is not None:
        return
    from_memory = row["roofline_bound"] == "memory" and row["peak_gbps"] is not None
    for name in ("utilization", "roofline_fraction") if from_memory else ("utilization",):
        if _number(row[name]) > TOLERATED_EXCESS:
            limit = f"expected at most {TOLERATED_EXCESS} where warnings is empty"
            yield name, f"{limit}, found {row[name]}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
