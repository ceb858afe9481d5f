"""The roofline (Williams, Waterman & Patterson 2009): rates below what compute and memory allow."""

from __future__ import annotations

import math

import altair as alt
import pandas as pd

from bench.reporting import theme
from bench.reporting.figure import Figure
from bench.reporting.report_rows import measured
from bench.text.format import significant

# More labels than these would lie upon each other; the lines' tooltips say the same.
MOST_LABELS = 4

# Of each roof the rate, and the bandwidths of which the first known one counts.
LIMITS = {
    "peak": ("peak_tflops", ("peak_gbps", "ceiling_gbps")),
    "ceiling": ("ceiling_tflops", ("ceiling_gbps", "peak_gbps")),
}


def rooflines(rows: pd.DataFrame) -> list[Figure]:
    """Return a figure a dtype: every case with FLOPs, below its side's roof."""
    cases = measured(rows)
    cases = cases[(cases["arithmetic_intensity"] > 0) & (cases["achieved_tflops"] > 0)]
    return [
        Figure(f"roofline {dtype}", str(dtype), _roofline(group), wide=False)
        for dtype, group in cases.groupby("dtype", sort=False, observed=True)
    ]


def _roofline(cases: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    points = theme.plain(
        cases, "row", "side", "arithmetic_intensity", "achieved_tflops", "kernel", "case"
    )
    roofs = roof_lines(cases)
    both = [*points.to_dict("records"), *roofs.to_dict("records")]
    x = alt.X(
        "arithmetic_intensity:Q",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=theme.log_axis(
            "FLOP per byte of memory traffic", (row["arithmetic_intensity"] for row in both)
        ),
    )
    y = alt.Y(
        "achieved_tflops:Q",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=theme.log_axis("TFLOP/s", (row["achieved_tflops"] for row in both), grid=True),
    )
    layers: list[alt.Chart] = []
    if len(roofs):
        color = theme.side_color(cases)
        line = alt.Chart(roofs).encode(x=x, y=y, color=color, detail=["limit:N", "side:N"])
        dash = alt.StrokeDash(
            "limit:N",
            scale=alt.Scale(domain=["peak", "ceiling"], range=[[1, 0], [5, 4]]),
            legend=None,
        )
        tooltip = [
            alt.Tooltip("side:N", title="device"),
            alt.Tooltip("limit:N", title="limit"),
            alt.Tooltip("tflops:Q", title="TFLOP/s", format=".4~g"),
            alt.Tooltip("gbps:Q", title="GB/s", format=".4~g"),
        ]
        layers.append(
            line.mark_line(strokeWidth=1.5, opacity=0.75).encode(strokeDash=dash, tooltip=tooltip)
        )
    if 0 < len(labelled := roofs[roofs["label"] != ""]) <= MOST_LABELS:
        layers.append(
            alt.Chart(labelled)
            .mark_text(align="right", dy=-7, fontSize=11)
            .encode(x=x, y=y, color=theme.side_color(cases), text="label:N")
        )
    mark = alt.Chart(points).mark_point(filled=True, size=60, opacity=0.8)
    layers.append(
        mark.encode(
            x=x,
            y=y,
            color=theme.side_color(cases),
            shape=theme.side_shape(cases),
            tooltip=theme.ROW,
        )
    )
    return alt.layer(*layers)


def roof_lines(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the corners of each side's roofs by peak and by ceiling; the last one has the label.

    Where a peak bandwidth is unknown the measured one takes its place, and the other way round, as in
    the rows' own bounds; a roof without either is flat.
    """
    intensities = cases["arithmetic_intensity"].astype("float64")
    least, most = intensities.min() / 2, intensities.max() * 2
    lines = []
    for side, group in cases.groupby("side", observed=True):
        for limit, (rate, bandwidths) in LIMITS.items():
            tflops = group[rate].max()
            known = (group[name].max() for name in bandwidths)
            gbps = next((value for value in known if pd.notna(value)), math.inf)
            bandwidth = None if math.isinf(gbps) else gbps
            if pd.isna(tflops):
                continue
            ridge = tflops * 1e3 / gbps
            for x in sorted({least, most, ridge} if least < ridge < most else {least, most}):
                height = min(tflops, x * gbps / 1e3)
                label = f"{limit} {significant(float(height))}" if x == most else ""
                lines.append((str(side), limit, x, height, label, tflops, bandwidth))
    columns = [
        "side",
        "limit",
        "arithmetic_intensity",
        "achieved_tflops",
        "label",
        "tflops",
        "gbps",
    ]
    return pd.DataFrame(lines, columns=columns)
