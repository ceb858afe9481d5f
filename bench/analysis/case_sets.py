"""Named sets of cases: what a figure such as "75 % of an H100" has to be about to mean something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

# Square products saturate most devices from about this size; smaller ones measure something else.
LARGE = 2048


@dataclass(frozen=True)
class CaseSet:
    """A set of cases: its name, what is in it, and how to find it among rows."""

    name: str
    meaning: str
    contains: Callable[[pd.DataFrame], pd.Series]


def _large_products(rows: pd.DataFrame) -> pd.Series:
    sizes = rows[["m", "n", "k"]].apply(pd.to_numeric).min(axis=1)
    return (rows["kernel"] == "matmul") & (rows["dtype"] == "bfloat16") & (sizes >= LARGE)


def _layers(rows: pd.DataFrame, phase: str) -> pd.Series:
    forward = rows["pass"].fillna("forward") == "forward"
    return (rows["kernel"] == "moe_layer") & forward & (rows["phase"] == phase)


CASE_SETS: dict[str, CaseSet] = {
    case_set.name: case_set
    for case_set in (
        CaseSet(
            "large-bf16-matmul",
            f"bfloat16 products with m, n and k of {LARGE} and more",
            _large_products,
        ),
        CaseSet("matmul", "all matrix products", lambda rows: rows["kernel"] == "matmul"),
        CaseSet(
            "moe-prefill",
            "MoE layers, forward, more than 512 tokens",
            lambda rows: _layers(rows, "prefill"),
        ),
        CaseSet(
            "moe-decode",
            "MoE layers, forward, up to 512 tokens",
            lambda rows: _layers(rows, "decode"),
        ),
        CaseSet(
            "moe-training",
            "MoE layers with gradients",
            lambda rows: (rows["kernel"] == "moe_layer") & (rows["pass"] == "forward_backward"),
        ),
        CaseSet("memory", "copy, read and triad", lambda rows: rows["kernel"] == "memory"),
        CaseSet("all", "every case that both have", lambda rows: pd.Series(True, index=rows.index)),
    )
}
