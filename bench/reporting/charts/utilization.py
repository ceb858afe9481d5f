"""Heat maps: how much of its peak, or of its measured ceiling, each side reaches at what."""

from __future__ import annotations

import altair as alt
import pandas as pd

from bench.reporting.figure import Figure
from bench.reporting.rows import best, kernel_names, measured

# On dark and light pages alike, so that a colour always means the same.
LIGHTEST, DARKEST, ON_LIGHT, ON_DARK = "#dceaf7", "#08427c", "#0a2540", "#fdfdfe"

LIMITS = {"peak": "Highest share of the peak", "ceiling": "Highest share of the measured ceiling"}

# More names than these do not fit below the columns unless they are turned.
MOST_LEVEL = 3

# So many columns have room for their figures beside another map.
MOST_NARROW = 6


def heat_maps(rows: pd.DataFrame) -> list[Figure]:
    """Return a figure each for the peak and the ceiling, where any row knows its own."""
    figures = []
    for limit, title in LIMITS.items():
        cells = shares(rows, limit)
        if len(cells):
            height = 48 + 34 * cells["what"].nunique()
            name = f"utilization {limit}"
            wide = cells["side"].nunique() > MOST_NARROW
            figures.append(Figure(name, title, _heat_map(cells), height, wide=wide))
    return figures


def shares(rows: pd.DataFrame, limit: str) -> pd.DataFrame:
    """Return the highest share of a limit by kernel, dtype and side, with its range and cases.

    The share is of the compute rate, and of the bandwidth for the kernel `memory`.
    """
    cases = best(measured(rows)).copy()
    share = cases["achieved_tflops"] / cases[f"{limit}_tflops"]
    bandwidth = cases["achieved_gbps"] / cases[f"{limit}_gbps"]
    cases["share"] = share.where(cases["kernel"] != "memory", bandwidth)
    cases = cases[cases["share"].notna()]
    cases["what"] = kernel_names(cases)
    grouped = cases.groupby(["what", "side"], observed=True, sort=False)["share"]
    cells = grouped.agg(["median", "min", "max", "count"]).reset_index()
    cells = cells.sort_values("side", kind="stable")
    return cells.assign(side=cells["side"].astype(str))


def _heat_map(cells: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    angle = 0 if cells["side"].nunique() <= MOST_LEVEL else -40
    axis = alt.Axis(title=None, labelAngle=angle, labelLimit=140, domain=False, ticks=False)
    base = alt.Chart(cells).encode(
        x=alt.X("side:N", sort=list(dict.fromkeys(cells["side"])), axis=axis),
        y=alt.Y("what:N", sort=None, axis=alt.Axis(title=None, ticks=False, grid=False)),
    )
    scale = alt.Scale(domain=[0, 1], range=[LIGHTEST, DARKEST], clamp=True)
    ink = alt.condition("datum.max > 0.45", alt.value(ON_DARK), alt.value(ON_LIGHT))
    tooltip = [
        alt.Tooltip("side:N"),
        alt.Tooltip("what:N", title="kernel and dtype"),
        alt.Tooltip("min:Q", title="lowest", format=".1%"),
        alt.Tooltip("median:Q", format=".1%"),
        alt.Tooltip("max:Q", title="highest", format=".1%"),
        alt.Tooltip("count:Q", title="cases"),
    ]
    return alt.layer(
        base.mark_rect(cornerRadius=3, xOffset=1, yOffset=1, x2Offset=-1, y2Offset=-1).encode(
            color=alt.Color("max:Q", scale=scale, legend=None), tooltip=tooltip
        ),
        base.mark_text(fontSize=13).encode(text=alt.Text("max:Q", format=".0%"), color=ink),
    )
