"""One look for all charts: colours that colour-blind readers tell apart, quiet axes, no boxes.

The greys here are those that style.css replaces by its own, so that charts follow a dark page and
turn back to black on white in print; a picture that is written to a file keeps them as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt
import pandas as pd

INK, MUTED, GRID = "#1f2933", "#5b6673", "#e3e6ea"

# Okabe & Ito (2008), https://jfly.uni-koeln.de/color/, without black and yellow.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#8A8A8A")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")

WIDTH, HEIGHT = 620, 300

# Of rows with a label above each: the heights of a label and of a bar.
LABEL, BAR = 19, 15

# A label of an axis as people write it: 2,000,000 and 0.05.
EVERYDAY = "format(datum.value, abs(datum.value) >= 1000 ? ',.0f' : '.3~g')"

# Up to so many sides are below each other in the legend of a picture.
FEW_SIDES = 3

# Up to so many decades 2 and 5 are labelled too.
FEW_DECADES = 2.5

CONFIG: dict[str, Any] = {
    "font": "Liberation Sans, Helvetica, Arial, sans-serif",
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "gridColor": GRID,
        "domain": False,
        "tickColor": GRID,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelLimit": 260,
        "titlePadding": 8,
    },
    "axisX": {"grid": False, "domain": True, "domainColor": GRID, "labelFlush": False},
    "legend": {
        "orient": "top",
        "direction": "vertical",
        "title": None,
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLimit": 320,
        "symbolSize": 80,
        "offset": 10,
    },
    "text": {"color": INK, "fontSize": 11},
    "title": {"color": INK, "anchor": "start", "fontSize": 14, "offset": 12},
}


def colours(names: Sequence[str]) -> list[str]:
    """Return a colour for each name, beginning again where there are more names than colours."""
    return [PALETTE[place % len(PALETTE)] for place in range(len(names))]


def shapes(names: Sequence[str]) -> list[str]:
    """Return a shape for each name; with the colours so many pairs that hardly two are the same."""
    return [SHAPES[place % len(SHAPES)] for place in range(len(names))]


def sides(rows: pd.DataFrame) -> list[str]:
    """Return the report's sides in order, whether `rows` has some of each or not."""
    return list(rows["side"].cat.categories)


def side_colour(rows: pd.DataFrame) -> alt.Color:
    """Return the encoding of the side by colour: the same on every chart of a report."""
    return alt.Color("side:N", scale=_scale(rows, colours(sides(rows))), legend=_legend(rows))


def side_shape(rows: pd.DataFrame) -> alt.Shape:
    """Return the encoding of the side by shape: for eyes and printers that see no colour."""
    return alt.Shape("side:N", scale=_scale(rows, shapes(sides(rows))), legend=_legend(rows))


def _scale(rows: pd.DataFrame, values: list[str]) -> alt.Scale:
    """Return a scale from those sides that this chart has, each with the value that it has everywhere."""
    here = set(rows["side"].astype(str))
    pairs = [pair for pair in zip(sides(rows), values, strict=True) if pair[0] in here]
    return alt.Scale(domain=[name for name, _ in pairs], range=[value for _, value in pairs])


def _legend(rows: pd.DataFrame) -> alt.Legend | None:
    many = len(set(rows["side"])) > FEW_SIDES
    legend = alt.Legend(columns=4, direction="horizontal", labelLimit=130) if many else alt.Legend()
    return legend if len(sides(rows)) > 1 else None


def log_axis(title: str, values: Iterable[float], **more: Any) -> alt.Axis:
    """Return the axis of a logarithmic scale over these values: few lines, at everyday numbers."""
    return alt.Axis(title=title, values=round_values(values), labelExpr=EVERYDAY, **more)


def round_values(values: Iterable[float]) -> list[float]:
    """Return the powers of ten between the least and the greatest, and if they are few, 2 and 5 times them.

    Where there is none between, the values' own ends.
    """
    known = [value for value in values if value > 0 and math.isfinite(value)]
    if not known:
        return []
    low, high = min(known), max(known)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if math.log10(high / low) > FEW_DECADES else (1, 2, 5)
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return [value for value in ticks if low <= value <= high] or sorted({low, high})


def labelled_rows(field: str, order: Sequence[str], bars: int = 1) -> tuple[alt.Y, int]:
    """Return the encoding of rows with the label above each, and the height that they take.

    Names of cases are long and phones narrow: beside the bars they would leave them no room.
    """
    bar = BAR * bars
    step = LABEL + bar
    gap = LABEL / step
    axis = alt.Axis(
        title=None,
        ticks=False,
        labelAlign="left",
        labelBaseline="bottom",
        labelPadding=0,
        labelOffset=-bar / 2 - 3,
        labelColor=INK,
        labelLimit=WIDTH,
        zindex=1,
    )
    scale = alt.Scale(paddingInner=gap, paddingOuter=gap)
    y = alt.Y(field, sort=list(order), scale=scale, axis=axis)
    return y, round(step * (len(order) + gap))


def plain(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return these columns as a chart needs them: numbers as floats, the rest as text."""
    frame = pd.DataFrame(index=rows.index)
    for name in columns:
        series = rows[name]
        frame[name] = (
            series.astype("float64")
            if pd.api.types.is_numeric_dtype(series)
            else series.astype("object").astype(str)
        )
    return frame


# A point's tooltip: the page shows all columns of the row that has this number.
ROW = alt.Tooltip("row:Q")
