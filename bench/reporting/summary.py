"""The devices of a report at a glance: best rates, conditions, where the peaks come from."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.kernels.dtypes import short_dtype
from bench.reporting.rows import measured
from bench.reporting.theme import colours, shapes, sides
from bench.text.format import percent, significant
from bench.text.naming import case_shape

CONDITIONS = (
    ("backend", "backend"),
    ("host", "host"),
    ("driver", "driver"),
    ("runtime", "runtime"),
    ("torch", "torch"),
    ("Python", "python"),
    ("threads", "threads"),
    ("devices at the same time", "devices_together"),
    ("state", "device_state"),
    ("inputs", "inputs"),
    ("cache", "cache"),
    ("timing", "timing"),
    ("harness", "harness_version"),
    ("commit", "git_commit"),
    ("config", "config"),
    ("seed", "seed"),
    ("evidence", "evidence"),
    ("source", "source"),
    ("file", "file"),
)

# How a rate is summarized: column, unit, and the share of the limit that goes with it.
TOKENS = ("tokens_per_s", "tokens/s", "utilization")
FLOPS = ("achieved_tflops", "TFLOP/s", "utilization")
BYTES = ("achieved_gbps", "GB/s", "bandwidth_share")


@dataclass(frozen=True)
class Fact:
    """The best rate of a kernel and dtype: the rate, of what, its share of the peak, and its case."""

    value: str
    unit: str
    what: str
    note: str


@dataclass(frozen=True)
class Card:
    """A device at a glance."""

    side: str
    device: str
    colour: str
    shape: str
    facts: list[Fact]
    conditions: list[tuple[str, str]]


def cards(rows: pd.DataFrame) -> list[Card]:
    """Return a card for each side."""
    names = sides(rows)
    return [
        _card(name, colour, shape, rows[rows["side"] == name])
        for name, colour, shape in zip(names, colours(names), shapes(names), strict=True)
    ]


def _card(side: str, colour: str, shape: str, rows: pd.DataFrame) -> Card:
    entries = [(label, _values(rows[column])) for label, column in CONDITIONS]
    moments = rows["started_at"].dropna()
    if len(moments):
        first, last = moments.min(), moments.max()
        span = f"{first:%Y-%m-%d %H:%M}" + (f" to {last:%Y-%m-%d %H:%M}" if last > first else "")
        entries.append(("measured", f"{span} UTC"))
    throttled = int(rows["throttle"].notna().sum())
    if throttled:
        entries.append(("throttled", f"{throttled} of {len(rows)} rows"))
    entries += [(f"peak {dtype}", text) for dtype, text in _peaks(rows)]
    conditions = [(label, text) for label, text in entries if text]
    name = _values(rows["device_name"])
    return Card(
        side, "" if name == side else name, colour, shape, _facts(measured(rows)), conditions
    )


def _facts(cases: pd.DataFrame) -> list[Fact]:
    """Return the best rate of each kernel and dtype."""
    shares = cases.assign(bandwidth_share=cases["achieved_gbps"] / cases["peak_gbps"])
    facts = []
    for (kernel, dtype), group in shares.groupby(["kernel", "dtype"], sort=False, observed=True):
        known = [rate for rate in (TOKENS, FLOPS, BYTES) if group[rate[0]].notna().any()]
        if not known:
            continue
        column, unit, share = BYTES if kernel == "memory" and BYTES in known else known[0]
        top = group.loc[group[column].idxmax()]
        rate = float(top[column])
        value = f"{rate:,.0f}" if rate >= 1000 else significant(rate)
        part = "" if pd.isna(top[share]) else f"{percent(float(top[share]))} of peak"
        note = " · ".join(text for text in (part, case_shape(top.to_dict())) if text)
        facts.append(Fact(value, unit, f"{kernel} {short_dtype(str(dtype))}", note))
    return facts


def _peaks(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Return each dtype's peaks with their source."""
    peaks = {}
    for dtype, group in rows.dropna(subset=["peak_source"]).groupby(
        "dtype", sort=False, observed=True
    ):
        row = group.iloc[-1]
        parts = [(row["peak_tflops"], "TFLOP/s"), (row["peak_gbps"], "GB/s")]
        rates = ", ".join(f"{significant(float(v))} {unit}" for v, unit in parts if pd.notna(v))
        peaks[str(dtype)] = f"{rates or 'unknown'} ({row['peak_source']})"
    return list(peaks.items())


def _values(column: pd.Series, most: int = 3) -> str:
    texts = [str(value) for value in column.dropna().unique()]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
