"""Collectives: bus bandwidth against the size of the array, and the matrix of pairs."""

from __future__ import annotations

import altair as alt
import pandas as pd

from bench.kernels.dtypes import short_dtype
from bench.reporting import theme
from bench.reporting.charts.rates import DASHES
from bench.reporting.figure import Figure, ReportTable
from bench.reporting.report_rows import best, measured
from bench.text.format import significant

# A pair whose bandwidth is below this share of the median pair's is marked as slow.
SLOW_PAIR = 0.8


def bus_bandwidths(rows: pd.DataFrame) -> list[Figure]:
    """Return one figure per operation and dtype: bus bandwidth against size, one line per world size."""
    cases = _collectives(rows)
    cases = cases[cases["sender"].isna()]
    return [
        Figure(
            f"collective {operation} {dtype}",
            f"{operation} {short_dtype(str(dtype))}",
            _against_size(group),
            wide=False,
        )
        for (operation, dtype), group in cases.groupby(
            ["operation", "dtype"], sort=False, observed=True
        )
    ]


def pair_tables(rows: pd.DataFrame) -> list[ReportTable]:
    """Return one table per device, size and dtype: GB/s from each rank to each other one."""
    cases = _collectives(rows)
    cases = cases[cases["sender"].notna()]
    keys = ["side", "size_bytes", "dtype", "world_size"]
    return [
        _pair_table(f"{side}: {int(size):,} B, {short_dtype(str(dtype))}", group)
        for (side, size, dtype, _), group in cases.groupby(keys, sort=False, observed=True)
    ]


def _collectives(rows: pd.DataFrame) -> pd.DataFrame:
    cases = best(measured(rows))
    return cases[(cases["kernel"] == "collective") & cases["busbw_gbps"].notna()]


def _pair_table(title: str, pairs: pd.DataFrame) -> ReportTable:
    rates = pairs.set_index(["sender", "receiver"])["busbw_gbps"].astype(float)
    ranks = sorted({int(rank) for pair in rates.index for rank in pair})
    slow = SLOW_PAIR * float(rates.median())

    def cell(sender: int, receiver: int) -> str:
        if (sender, receiver) not in rates.index:
            return ""
        rate = float(rates[sender, receiver])
        return significant(rate) + (" slow" if rate < slow else "")

    lines = [(f"from {sender}", *(cell(sender, other) for other in ranks)) for sender in ranks]
    return ReportTable((title, *(f"to {rank}" for rank in ranks)), lines)


def _against_size(cases: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    series = [
        f"{ranks} ranks{', in place' if in_place else ''}"
        for ranks, in_place in zip(cases["world_size"], cases["in_place"], strict=True)
    ]
    cases = cases.assign(series=series, size=cases["size_bytes"].astype("float64"))
    x = alt.X(
        "size:Q",
        scale=alt.Scale(type="log", nice=False, padding=14),
        axis=theme.log_axis("total array, bytes", cases["size"]),
    )
    y = alt.Y(
        "busbw_gbps:Q", axis=alt.Axis(title="bus GB/s", tickCount=5, labelExpr=theme.EVERYDAY)
    )
    names = sorted(set(series))
    legend = alt.Legend(symbolType="stroke", symbolStrokeColor=theme.MUTED)
    dash = alt.StrokeDash(
        "series:N",
        scale=alt.Scale(
            domain=names, range=[DASHES[place % len(DASHES)] for place in range(len(names))]
        ),
        legend=legend if len(names) > 1 else None,
    )
    data = alt.Chart(theme.plain(cases, "row", "side", "size", "busbw_gbps", "series"))
    color = theme.side_color(cases)
    return alt.layer(
        data.mark_line(strokeWidth=2, opacity=0.7).encode(x=x, y=y, color=color, strokeDash=dash),
        data.mark_point(filled=True, size=60, opacity=0.75).encode(
            x=x, y=y, color=color, shape=theme.side_shape(cases), tooltip=theme.ROW
        ),
    )
