"""The rows of result files as a report shows them: each with its side, a name and a place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.analysis.pairing import KEY, usable
from bench.errors import UsageError
from bench.kernels.dtypes import short_dtype
from bench.text.naming import case_name, layer_name

# A page with more rows than this is too slow for a browser, and nobody reads it.
MOST_ROWS = 20_000

# What a reader looks for in a tooltip stands at its head.
FIRST = [
    *("side", "case", "implementation", "stage", "time_median_s", "ci_low_s", "ci_high_s"),
    *("achieved_tflops", "achieved_gbps", "tokens_per_s", "utilization", "utilization_of_ceiling"),
    *("roofline_bound", "roofline_fraction", "energy_j", "throttle", "warnings"),
]


def prepare(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all sides as one frame, with what the report adds to them.

    `row` is a number, `side` (categorical) the label, `case` the name. Raises UsageError where there is
    nothing to report, or too much.
    """
    count = sum(map(len, frames.values()))
    if count > MOST_ROWS:
        raise UsageError(
            f"{count} rows are too many for one page, at most {MOST_ROWS}: name fewer files"
        )
    sides = pd.CategoricalDtype(list(frames))
    rows = pd.concat(
        [
            frame.assign(side=pd.Series(label, frame.index, sides))
            for label, frame in frames.items()
        ],
        ignore_index=True,
    )
    if not (rows["status"] == "ok").any():
        outcomes = rows["status"].value_counts()
        counts = ", ".join(f"{number} {name}" for name, number in outcomes.items())
        raise UsageError(f"no row with status ok, so there is nothing to show (found: {counts})")
    rows["row"] = range(count)
    rows["case"] = [case_name(row) for row in rows.to_dict("records")]
    return rows


def measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are a measurement of a whole case: those that `bench compare` takes too."""
    return usable(rows, simulated=True)[0]


def best(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each side's fastest row of each case: the best implementation, and of repeats the best."""
    ordered = rows.sort_values("time_median_s", kind="stable")
    return ordered.drop_duplicates(["side", *KEY]).sort_values("row")


def kernel_names(rows: pd.DataFrame) -> pd.Series:
    """Return kernel, dtype and phase of each row in a few words: moe_layer bf16 decode."""
    words = [
        " ".join(
            str(word) for word in (kernel, short_dtype(str(dtype)), phase) if isinstance(word, str)
        )
        for kernel, dtype, phase in zip(rows["kernel"], rows["dtype"], rows["phase"], strict=True)
    ]
    return pd.Series(words, rows.index, dtype="object")


def layer_names(rows: pd.DataFrame) -> pd.Series:
    """Return each layer's model, or else its shape, and over how many devices it is spread."""
    return pd.Series(
        [layer_name(row) for row in rows.to_dict("records")], rows.index, dtype="object"
    )


def as_json(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the columns that hold anything, and the rows as lists: for the page's tooltips."""
    names = [*FIRST, *(name for name in rows if name not in (*FIRST, "row"))]
    filled = [name for name in names if rows[name].notna().any()]
    plain = rows[filled].astype("object")
    plain = plain.where(plain.notna(), None)
    text = json.dumps(plain.to_numpy().tolist(), default=str)
    return {"columns": filled, "rows": json.loads(text)}
