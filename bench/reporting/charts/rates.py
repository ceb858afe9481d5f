"""Rates against sizes: matrix products by their size, layers by their tokens."""

from __future__ import annotations

import json

import altair as alt
import pandas as pd

from bench.kernels.dtypes import short_dtype
from bench.reporting import theme
from bench.reporting.figure import Figure
from bench.reporting.rows import best, layer_names, measured

PHASES = ("decode", "prefill")

# What is a layer, and what its figure's title adds to the name of the layer.
KERNELS = {"moe_layer": "", "moe_experts": ", experts only"}

# Lines that are told apart from each other, more than a chart should have.
DASHES = ([1, 0], [6, 3], [2, 2], [9, 3, 2, 3], [14, 3], [5, 2, 1, 2, 1, 2], [1, 4], [9, 9])

# Parameters whose value says what it is of.
SELF_EVIDENT = ("dtype", "routing", "pass", "cache")


def matmul_rates(rows: pd.DataFrame) -> list[Figure]:
    """Return a figure a dtype: TFLOP/s against ∛(batch·m·n·k); a line joins the square products."""
    products = best(measured(rows))
    products = products[
        (products["kernel"] == "matmul") & products[["m", "n", "k"]].notna().all(axis=1)
    ].copy()
    batch = products["batch"].astype("float64").fillna(1)
    volume = products[["m", "n", "k"]].astype("float64").prod(axis=1)
    products["size"] = (volume * batch) ** (1 / 3)
    square = (products["m"] == products["n"]) & (products["n"] == products["k"]) & (batch == 1)
    other = products["cache"].isin(["hot"]) | products["layout"].isin(["nt", "tn", "tt"])
    products["joined"] = square.astype(bool) & ~other
    return [
        Figure(f"matmul {dtype}", str(dtype), _against_size(group), wide=False)
        for dtype, group in products.groupby("dtype", sort=False, observed=True)
    ]


def moe_rates(rows: pd.DataFrame) -> list[Figure]:
    """Return a figure for each layer, dtype and phase: tokens/s against tokens.

    Published results are often of the experts alone, without gate and combine: a kernel, and so a
    figure, of its own.
    """
    cases = best(measured(rows))
    layers = cases["kernel"].isin(KERNELS)
    cases = cases[layers & (cases["tokens"] > 0) & cases["tokens_per_s"].notna()].copy()
    dtypes = pd.Series([f" {short_dtype(str(dtype))}" for dtype in cases["dtype"]], cases.index)
    cases["layer"] = layer_names(cases) + dtypes + cases["kernel"].map(KERNELS).astype("object")
    return [
        Figure(f"moe {layer} {phase}", f"{layer}: {phase}", _against_tokens(group), wide=False)
        for layer, layers in cases.groupby("layer", sort=False)
        for phase in PHASES
        if len(group := layers[layers["phase"] == phase])
    ]


def series_names(cases: pd.DataFrame) -> list[str]:
    """Return for each case the parameters, apart from tokens, in which these cases differ."""
    params = [json.loads(text) for text in cases["params"].astype(str)]
    given = [name for parameters in params for name in parameters if name != "tokens"]
    names = [name for name in dict.fromkeys([*SELF_EVIDENT, *given]) if name in given]
    differing = [
        name for name in names if len({str(parameters.get(name)) for parameters in params}) > 1
    ]
    return [
        " ".join(_word(name, parameters[name]) for name in differing if name in parameters)
        for parameters in params
    ]


def _word(name: str, value: object) -> str:
    return short_dtype(str(value)) if name in SELF_EVIDENT else f"{name}={value}"


def _against_size(cases: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    x = alt.X(
        "size:Q",
        scale=alt.Scale(type="log", nice=False, padding=14),
        axis=theme.log_axis("size, ∛(batch·m·n·k)", cases["size"]),
    )
    y = alt.Y(
        "achieved_tflops:Q", axis=alt.Axis(title="TFLOP/s", tickCount=5, labelExpr=theme.EVERYDAY)
    )
    columns = ("row", "side", "size", "achieved_tflops")
    joined = alt.Chart(theme.plain(cases[cases["joined"]], *columns))
    points = alt.Chart(theme.plain(cases, *columns))
    colour = theme.side_colour(cases)
    return alt.layer(
        joined.mark_line(strokeWidth=2, opacity=0.7).encode(x=x, y=y, color=colour),
        points.mark_point(filled=True, size=60, opacity=0.75).encode(
            x=x, y=y, color=colour, shape=theme.side_shape(cases), tooltip=theme.ROW
        ),
    )


def _against_tokens(cases: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    x = alt.X(
        "tokens:Q",
        scale=alt.Scale(type="log", base=2, nice=False, padding=14),
        axis=alt.Axis(title="tokens", tickCount=6, labelExpr=theme.EVERYDAY),
    )
    y = alt.Y(
        "tokens_per_s:Q", axis=alt.Axis(title="tokens/s", tickCount=5, labelExpr=theme.EVERYDAY)
    )
    cases = cases.assign(series=series_names(cases))
    data = alt.Chart(theme.plain(cases, "row", "side", "tokens", "tokens_per_s", "series"))
    names = sorted(set(cases["series"]))
    legend = alt.Legend(symbolType="stroke", symbolStrokeColor=theme.MUTED)
    dashes = [DASHES[place % len(DASHES)] for place in range(len(names))]
    dash = alt.StrokeDash(
        "series:N",
        scale=alt.Scale(domain=names, range=dashes),
        legend=legend if len(names) > 1 else None,
    )
    colour = theme.side_colour(cases)
    return alt.layer(
        data.mark_line(strokeWidth=2, opacity=0.7).encode(x=x, y=y, color=colour, strokeDash=dash),
        data.mark_point(filled=True, size=60, opacity=0.75).encode(
            x=x, y=y, color=colour, shape=theme.side_shape(cases), tooltip=theme.ROW
        ),
    )
