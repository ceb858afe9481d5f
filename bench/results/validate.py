"""Checks a result file: every cell by itself, and whether the cells of a row agree."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

from bench.results.reader import Problem, Row, parse, read_text

# Rates are derived from other cells of the same row; they may differ in the last digits only.
CLOSE = 1e-9
MOST_UTILIZATION = 1.02

RATES = (
    "achieved_tflops",
    "achieved_gbps",
    "tokens_per_s",
    "utilization",
    "utilization_of_ceiling",
)
TIMES = ("time_median_s", "time_mean_s", "samples", "loops", "processes", "stop_reason", "timing")


def validate(path: Path) -> tuple[list[Problem], list[Problem], int]:
    """Return what is wrong in a file, what is doubtful, and how many rows are sound."""
    text = read_text(path)
    rows, problems = parse(text)
    if text and not text.endswith("\n"):
        last = text.count("\n") + 1
        problems = [problem for problem in problems if problem.line != last]
        problems.append(Problem(last, "", "cut off; `bench run --resume` repairs it"))
        rows = [(line, row) for line, row in rows if line != last]
    seen: dict[tuple[object, ...], int] = {}
    doubts = []
    sound = 0
    for line, row in rows:
        wrong = [Problem(line, column, text) for column, text in check_row(row)]
        key = tuple(row[name] for name in ("run_id", "case_id", "implementation", "device_index"))
        if key in seen:
            wrong.append(Problem(line, "case_id", f"the same case as in line {seen[key]}"))
        seen.setdefault(key, line)
        doubts += [Problem(line, column, text) for column, text in doubt_row(row)]
        problems += wrong
        sound += not wrong
    return sorted(problems, key=lambda problem: problem.line), doubts, sound


def check_row(row: Row) -> Iterator[tuple[str, str]]:
    """Yield what contradicts itself in a row, as column and sentence."""
    yield from _check_work(row)
    if row["status"] == "ok":
        yield from _check_measured(row)
    else:
        for name in (*RATES, "time_median_s", "ci_low_s", "ci_high_s"):
            if row[name] is not None:
                yield name, f"known, although the status is {row['status']}"
        if row["error"] is None:
            yield "error", f"empty, although the status is {row['status']}"


def doubt_row(row: Row) -> Iterator[tuple[str, str]]:
    """Yield what is possible but should not be quoted without a look."""
    for name in ("utilization", "utilization_of_ceiling"):
        value = row[name]
        if isinstance(value, float) and value > MOST_UTILIZATION:
            yield name, f"{value:.3f}: faster than the limit it is held against"


def _check_work(row: Row) -> Iterator[tuple[str, str]]:
    try:
        params = json.loads(str(row["params"]))
    except json.JSONDecodeError as error:
        yield "params", f"not JSON: {error}"
        return
    if not isinstance(params, dict):
        yield "params", "not a JSON object"
        return
    for name, value in params.items():
        if name in row and row[name] is not None and row[name] != value:
            yield name, f"{row[name]}, but {value} in params"
    if not str(row["case_id"]).startswith(f"{row['kernel']}-"):
        yield "case_id", f"does not begin with the kernel's name, {row['kernel']}"
    yield from _agree(row, "arithmetic_intensity", _quotient(row["flops"], row["bytes"]))


def _check_measured(row: Row) -> Iterator[tuple[str, str]]:
    for name in TIMES:
        if row[name] is None:
            yield name, "empty, although the status is ok"
    if row["verified"] is not True:
        yield "verified", "not true, although the status is ok"
    if _number(row["rel_error"]) > _number(row["tolerance"]):
        yield "rel_error", "above the tolerance, although the status is ok"
    median = row["time_median_s"]
    if not isinstance(median, float) or median <= 0:
        yield "time_median_s", f"{median} is not a time"
        return
    low, high = row["ci_low_s"], row["ci_high_s"]
    if (low is None) != (high is None):
        yield "ci_low_s", "one end of the interval without the other"
    elif isinstance(low, float) and isinstance(high, float) and not low <= median <= high:
        yield "time_median_s", f"{median} is outside of its interval, {low} to {high}"
    if row["flops"]:
        yield from _agree(row, "achieved_tflops", _number(row["flops"]) / median / 1e12)
    yield from _agree(row, "achieved_gbps", _number(row["bytes"]) / median / 1e9)
    tflops = _number(row["achieved_tflops"])
    for name, limit in (
        ("utilization", "peak_tflops"),
        ("utilization_of_ceiling", "ceiling_tflops"),
    ):
        if row[limit] is None and row[name] is not None:
            yield name, f"known, although {limit} is not"
        elif row[limit] is not None and row["achieved_tflops"] is not None:
            yield from _agree(row, name, tflops / _number(row[limit]))


def _agree(row: Row, name: str, expected: float) -> Iterator[tuple[str, str]]:
    value = row[name]
    if value is None or not math.isclose(_number(value), expected, rel_tol=CLOSE):
        yield name, f"{value}, but the other columns give {expected:.9g}"


def _quotient(a: object, b: object) -> float:
    return _number(a) / _number(b) if _number(b) else math.nan


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
