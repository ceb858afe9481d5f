"""Bars: effectiveness with its interval, the stages of a layer, energy for an operation."""

from __future__ import annotations

import altair as alt
import pandas as pd

from bench.analysis.compare import Comparison
from bench.reporting import theme
from bench.reporting.figure import Figure
from bench.reporting.rows import best, kernel_names, measured
from bench.results.columns import STAGES


def effectiveness_bars(comparison: Comparison, rows: pd.DataFrame) -> list[Figure]:
    """Return one figure: each device's geometric mean over each named set, with interval and range."""
    if comparison.sets.empty:
        return []
    data = comparison.sets.assign(side=comparison.sets["device"].astype(rows["side"].dtype))
    # With the name: more devices than colours must not look alike.
    named = len(comparison.others) > 1
    data["label"] = [
        f"{ratio:.3g}" + (f" {side}" if named else "")
        for ratio, side in zip(data["ratio"], data["side"], strict=True)
    ]
    data["end"] = data[["high", "most", "expected"]].max(axis=1)
    data["what"] = data["set"]
    colour = theme.side_colour(data)
    numbers = ("ratio", "low", "high", "least", "most", "expected", "cases", "end")
    data = theme.plain(data, "what", "side", "meaning", "label", *numbers)
    order = list(dict.fromkeys(data["what"]))
    y, height = theme.labelled_rows("what:N", order, len(comparison.others))
    gap = alt.Scale(paddingInner=0.25)
    offset = alt.YOffset("side:N", sort=list(comparison.others), scale=gap)
    axis = alt.Axis(title=f"rate in units of {comparison.base}", grid=True, tickCount=6)

    def chart(frame: pd.DataFrame) -> alt.Chart:
        return alt.Chart(frame).encode(y=y, yOffset=offset)

    tooltip = [
        alt.Tooltip("side:N", title="device"),
        alt.Tooltip("meaning:N", title="over"),
        alt.Tooltip("cases:Q"),
        alt.Tooltip("ratio:Q", title="geometric mean", format=".4g"),
        alt.Tooltip("low:Q", title="95 % interval from", format=".4g"),
        alt.Tooltip("high:Q", title="to", format=".4g"),
        alt.Tooltip("least:Q", title="lowest case", format=".4g"),
        alt.Tooltip("most:Q", title="highest case", format=".4g"),
        alt.Tooltip("expected:Q", title="expected by data sheets", format=".4g"),
    ]
    bars = chart(data).mark_bar(opacity=0.85)
    ranges = chart(data).mark_rule(color=theme.MUTED, strokeWidth=1)
    labels = chart(data).mark_text(align="left", dx=6)
    layers = [
        bars.encode(
            x=alt.X("ratio:Q", scale=alt.Scale(zero=True), axis=axis), color=colour, tooltip=tooltip
        ),
        ranges.encode(x="least:Q", x2="most:Q"),
        labels.encode(x="end:Q", text="label:N"),
    ]
    if len(known := data[data["low"].notna()]):
        intervals = chart(known).mark_rule(color=theme.INK, strokeWidth=4)
        layers.append(intervals.encode(x="low:Q", x2="high:Q"))
    if len(known := data[data["expected"].notna()]):
        predicted = chart(known).mark_point(shape="diamond", color=theme.INK, size=40)
        layers.append(predicted.encode(x="expected:Q"))
    par = alt.Chart(pd.DataFrame({"one": [1.0]})).mark_rule(color=theme.MUTED, strokeDash=[4, 3])
    layers.append(par.encode(x="one:Q"))
    return [
        Figure("effectiveness", f"Rate in units of {comparison.base}", alt.layer(*layers), height)
    ]


def stage_profiles(rows: pd.DataFrame) -> list[Figure]:
    """Return one figure with a bar for each profiled layer and side, if there are any."""
    stage_rows = rows[(rows["status"] == "ok") & rows["stage"].notna()].copy()
    if stage_rows.empty:
        return []
    stage_rows["bar"] = bars_of(stage_rows)
    data = theme.plain(stage_rows, "row", "bar", "stage", "time_median_s")
    data["milliseconds"] = data["time_median_s"] * 1e3
    names = list(dict.fromkeys([*STAGES, *data["stage"]]))
    names = [name for name in names if name in set(data["stage"])]
    data["place"] = [names.index(name) for name in data["stage"]]
    y, height = theme.labelled_rows("bar:N", list(dict.fromkeys(data["bar"])))
    x = alt.X("milliseconds:Q", title="ms", axis=alt.Axis(grid=True, tickCount=6))
    bars = (
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "stage:N",
                scale=alt.Scale(domain=names, range=theme.colours(names)),
                legend=alt.Legend(columns=3),
            ),
            order="place:Q",
            tooltip=theme.ROW,
        )
    )
    whole = theme.plain(whole_layers(rows, stage_rows), "row", "bar", "time_median_s")
    whole["milliseconds"] = whole["time_median_s"] * 1e3
    ticks = alt.Chart(whole).mark_tick(color=theme.INK, thickness=3, size=theme.BAR + 6)
    layers = alt.layer(bars, ticks.encode(x=x, y=y, tooltip=theme.ROW))
    return [Figure("stages", "Time of each stage", layers, height)]


def whole_layers(rows: pd.DataFrame, stages: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the layers that the bars of `stages` are of."""
    layers = measured(rows)
    key = ["file", "run_id", "started_at", "case_id", "implementation", "device_index"]
    bars = stages.drop_duplicates("bar")[[*key, "bar"]]
    return layers.merge(bars, on=key)


def bars_of(stages: pd.DataFrame) -> pd.Series:
    """Return the name of the bar that each stage is a part of: one per layer, implementation and side.

    Of several profiles of one of these, from repeats or several devices, a bar each: stages of
    different executions must not add up.
    """
    several = stages["side"].nunique() > 1
    names = stages["case"].astype(str) + " (" + stages["implementation"].astype(str) + ")"
    if several:
        names += " · " + stages["side"].astype(str)
    number = stages.assign(name=names).groupby(["name", "stage"], sort=False).cumcount()
    return names.where(number == 0, names + " #" + (number + 1).astype(str))


def energy(rows: pd.DataFrame) -> list[Figure]:
    """Return one figure: picojoules an operation for each case whose energy is known."""
    cases = best(measured(rows))
    cases = cases[cases["energy_j"].notna() & (cases["flops"].astype("float64") > 0)].copy()
    if cases.empty:
        return []
    cases["pj_per_flop"] = cases["energy_j"] / cases["flops"].astype("float64") * 1e12
    cases["what"] = kernel_names(cases)
    here = [name for name in theme.sides(rows) if name in set(cases["side"])]
    data = theme.plain(cases, "row", "side", "what", "pj_per_flop")
    y, height = theme.labelled_rows("what:N", list(dict.fromkeys(data["what"])), len(here))
    chart = (
        alt.Chart(data)
        .mark_point(filled=True, size=60, opacity=0.8)
        .encode(
            x=alt.X(
                "pj_per_flop:Q",
                scale=alt.Scale(type="log", padding=12),
                axis=theme.log_axis(
                    "pJ per operation (less is better)", data["pj_per_flop"], grid=True
                ),
            ),
            y=y,
            yOffset=alt.YOffset("side:N", sort=here),
            color=theme.side_colour(cases),
            shape=theme.side_shape(cases),
            tooltip=theme.ROW,
        )
    )
    return [Figure("energy", "Energy of an operation", chart, height)]
