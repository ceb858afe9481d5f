"""The samples behind the medians: how far single ones lie from them, for the least steady cases."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd

from bench.reporting import theme
from bench.reporting.figure import Figure
from bench.reporting.rows import measured
from bench.results.sides import Samples

MOST_CASES = 24
MOST_SAMPLES = 200


def sample_strips(rows: pd.DataFrame, samples: Mapping[str, Samples]) -> list[Figure]:
    """Return one figure: one stroke per sample, relative to its case's median, the widest cases first."""
    data = spread(rows, samples)
    if data.empty:
        return []
    strips = data.groupby("strip", sort=False)["relative"]
    widths = strips.quantile(0.9) / strips.quantile(0.1)
    order = list(widths.sort_values(ascending=False).index[:MOST_CASES])
    data = data[data["strip"].isin(order)]
    y, height = theme.labelled_rows("strip:N", order)
    chart = (
        alt.Chart(theme.plain(data, "row", "side", "strip", "relative"))
        .mark_tick(thickness=2, opacity=0.45, size=theme.BAR)
        .encode(
            x=alt.X(
                "relative:Q",
                scale=alt.Scale(type="log", nice=False, padding=8),
                axis=theme.log_axis(
                    "time of a sample / median of the case", data["relative"], grid=True
                ),
            ),
            y=y,
            color=theme.side_colour(data),
            tooltip=theme.ROW,
        )
    )
    return [Figure("samples", "Samples around their median", chart, height)]


def spread(rows: pd.DataFrame, samples: Mapping[str, Samples]) -> pd.DataFrame:
    """Return samples with their row, and their time relative to the median of the row.

    A case that a side has several rows of is left out: its samples do not say whose they are. Of
    many samples of a case a part is taken, evenly over the time that they were measured in.
    """
    key = ["side", "case_id", "implementation"]
    ok = measured(rows).drop_duplicates(key, keep=False)
    parts = []
    for row in ok[[*key, "row", "case", "time_median_s"]].to_dict("records"):
        side, case_id, implementation = (str(row[name]) for name in key)
        runs = samples.get(side, {}).get((case_id, implementation), [])
        values = np.array([value for run in runs for value in run])
        if len(values):
            places = np.linspace(0, len(values) - 1, min(len(values), MOST_SAMPLES)).astype(int)
            relative = values[places] / row["time_median_s"]
            parts.append(pd.DataFrame({**row, "relative": relative}))
    if not parts:
        return pd.DataFrame()
    data = pd.concat(parts, ignore_index=True)
    data["side"] = data["side"].astype(rows["side"].dtype)
    data["strip"] = data["case"] + " (" + data["implementation"].astype(str) + ")"
    if data["side"].nunique() > 1:
        data["strip"] += " · " + data["side"].astype(str)
    return data
