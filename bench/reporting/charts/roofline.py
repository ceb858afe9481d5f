"""The roofline (Williams, Waterman & Patterson 2009): rates below what compute and memory allow."""

from __future__ import annotations

import altair as alt
import pandas as pd

from bench.reporting import theme
from bench.reporting.figure import Figure
from bench.reporting.rows import measured

LIMITS = {"peak": ("peak_tflops", "peak_gbps"), "ceiling": ("ceiling_tflops", "ceiling_gbps")}


def rooflines(rows: pd.DataFrame) -> list[Figure]:
    """Return a figure a dtype: every case with FLOPs, below its side's roof."""
    cases = measured(rows)
    cases = cases[(cases["arithmetic_intensity"] > 0) & (cases["achieved_tflops"] > 0)]
    return [
        Figure(f"roofline {dtype}", str(dtype), _roofline(group), height=340)
        for dtype, group in cases.groupby("dtype", sort=False, observed=True)
    ]


def _roofline(cases: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    points = theme.plain(
        cases, "row", "side", "arithmetic_intensity", "achieved_tflops", "kernel", "case"
    )
    x = alt.X(
        "arithmetic_intensity:Q",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=theme.log_axis("FLOP per byte of memory traffic"),
    )
    y = alt.Y(
        "achieved_tflops:Q",
        scale=alt.Scale(type="log", padding=12),
        axis=theme.log_axis("TFLOP/s"),
    )
    layers: list[alt.Chart] = []
    roofs = roof_lines(cases)
    if len(roofs):
        colour = theme.side_colour(cases)
        line = alt.Chart(roofs).encode(x=x, y=y, color=colour, detail=["limit:N", "side:N"])
        dash = alt.StrokeDash(
            "limit:N",
            scale=alt.Scale(domain=["peak", "ceiling"], range=[[1, 0], [5, 4]]),
            legend=None,
        )
        layers.append(line.mark_line(strokeWidth=1.5, opacity=0.75).encode(strokeDash=dash))
        layers.append(
            line.transform_filter("datum.label !== ''")
            .mark_text(align="right", dy=-7, fontSize=11)
            .encode(text="label:N")
        )
    mark = alt.Chart(points).mark_point(filled=True, size=60, opacity=0.8)
    layers.append(
        mark.encode(
            x=x,
            y=y,
            color=theme.side_colour(cases),
            shape=theme.side_shape(cases),
            tooltip=theme.ROW,
        )
    )
    return alt.layer(*layers)


def roof_lines(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the corners of each side's roofs by peak and by ceiling; the last one has the label.

    A roof without a known bandwidth is flat.
    """
    least, most = cases["arithmetic_intensity"].min() / 2, cases["arithmetic_intensity"].max() * 2
    lines = []
    for side, group in cases.groupby("side", observed=True):
        for limit, (rate, bandwidth) in LIMITS.items():
            tflops, gbps = group[rate].max(), group[bandwidth].max()
            if pd.isna(tflops):
                continue
            corners = [least, most]
            if pd.notna(gbps) and least < (ridge := tflops * 1e3 / gbps) < most:
                corners.insert(1, ridge)
            for x in corners:
                height = tflops if pd.isna(gbps) else min(tflops, x * gbps / 1e3)
                label = f"{limit} {height:.3g}" if x == most else ""
                lines.append((side, limit, x, height, label))
    columns = ["side", "limit", "arithmetic_intensity", "achieved_tflops", "label"]
    return pd.DataFrame(lines, columns=columns)
