"""The charts: what each shows of the rows that it is given, and what it leaves out."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.compare import compare
from bench.config.cases import Case
from bench.errors import UsageError
from bench.kernels.moe.layer import MoeLayer
from bench.reporting import theme
from bench.reporting.charts.bars import (
    bars_of,
    effectiveness_bars,
    energy,
    stage_profiles,
    whole_layers,
)
from bench.reporting.charts.rates import matmul_rates, moe_rates, series_names
from bench.reporting.charts.roofline import roof_lines, rooflines
from bench.reporting.charts.samples import sample_strips, spread
from bench.reporting.charts.utilization import heat_maps, shares
from bench.reporting.figure import Figure, Section, with_distinct_names
from bench.reporting.rows import as_json, best, measured, prepare
from bench.results.sides import load_sides, samples_behind
from tests.reporting.conftest import BASE, CASES, LAYER, OTHER, WIGGLE, Chip, write


def data_of(figure: Figure) -> list[dict]:
    """Every datum of a figure."""
    sets = figure.spec(responsive=True)["datasets"].values()
    return [row for found in sets for row in found]


def products(rows: pd.DataFrame) -> pd.DataFrame:
    """The cases of the first roofline."""
    found = measured(rows)
    return found[found["dtype"] == "bfloat16"]


def names(figures: list[Figure]) -> list[str]:
    return [figure.name for figure in figures]


def test_rows_are_numbered_and_named(rows):
    assert list(rows["row"]) == list(range(len(rows)))
    assert list(rows["side"].cat.categories) == ["chip-a", "chip-b"]
    assert "moe_layer bf16 tiny-moe 16 tokens balanced" in set(rows["case"])


def test_too_many_rows_are_refused(sides, monkeypatch):
    monkeypatch.setattr("bench.reporting.rows.MOST_ROWS", 10)
    with pytest.raises(UsageError, match="too many for one page, at most 10: name fewer files"):
        prepare(sides.frames)


def test_only_whole_verified_cases_are_drawn(rows):
    found = measured(rows)
    assert len(found) == 2 * len(CASES)
    assert set(found["status"]) == {"ok"}
    assert found["stage"].isna().all()


def test_the_fastest_of_a_case_counts(rows):
    slow = rows.assign(time_median_s=rows["time_median_s"] * 2, row=rows["row"] + len(rows))
    both = pd.concat([slow, rows], ignore_index=True)
    assert set(best(measured(both))["row"]) == set(measured(rows)["row"])


def test_tooltips_have_every_column_that_holds_anything(rows):
    found = as_json(rows)
    assert found["columns"][:2] == ["side", "case"]
    assert {"achieved_tflops", "params", "energy_j", "stage", "error"} <= set(found["columns"])
    assert "throttle" not in found["columns"], "no row has it"
    assert len(found["rows"]) == len(rows)
    place = found["columns"].index("stage")
    assert found["rows"][0][place] is None


def test_each_dtype_has_a_roofline_with_every_case(rows):
    figures = rooflines(rows)
    assert names(figures) == ["roofline bfloat16", "roofline float32"]
    drawn = {row["row"] for figure in figures for row in data_of(figure) if "row" in row}
    cases = measured(rows)
    assert drawn == set(cases.loc[cases["kernel"] != "memory", "row"])


def test_a_roof_turns_where_compute_and_bandwidth_meet(rows):
    roofs = roof_lines(products(rows))
    peak = roofs[(roofs["side"] == "chip-a") & (roofs["limit"] == "peak")]
    ridge = 1e3 * BASE.tflops / BASE.gbps
    assert list(peak["achieved_tflops"])[1:] == [BASE.tflops, BASE.tflops]
    assert list(peak["arithmetic_intensity"])[1] == pytest.approx(ridge)
    first = peak.iloc[0]
    assert first["achieved_tflops"] == pytest.approx(
        first["arithmetic_intensity"] * BASE.gbps / 1e3
    )
    assert set(roofs["limit"]) == {"peak", "ceiling"}


def test_a_measured_bandwidth_stands_in_for_an_unknown_one(rows):
    known = roof_lines(products(rows))
    unknown = roof_lines(products(rows).assign(peak_gbps=math.nan))
    ridges = [
        found[found["limit"] == "peak"]["arithmetic_intensity"].iloc[1]
        for found in (known, unknown)
    ]
    assert ridges[1] == pytest.approx(ridges[0] / 0.9), "the ceiling is 0.9 of the peak"
    neither = roof_lines(products(rows).assign(peak_gbps=math.nan, ceiling_gbps=math.nan))
    assert neither.groupby(["side", "limit"])["achieved_tflops"].nunique().max() == 1, "flat"


def test_a_device_without_peaks_has_marks_but_no_roof(rows):
    unknown = rows.assign(peak_tflops=math.nan, ceiling_tflops=math.nan)
    assert roof_lines(measured(unknown)).empty
    assert names(rooflines(unknown)) == names(rooflines(rows))
    assert heat_maps(unknown.assign(peak_gbps=math.nan, ceiling_gbps=math.nan)) == []


def test_shares_of_the_limits(rows):
    found = shares(rows, "peak").set_index(["what", "side"])["max"]
    assert found["matmul bf16", "chip-a"] == pytest.approx(BASE.reaches)
    assert found["memory f32", "chip-b"] == pytest.approx(OTHER.reaches), "of the bandwidth"
    ceiling = shares(rows, "ceiling").set_index(["what", "side"])["max"]
    assert ceiling["matmul bf16", "chip-a"] == pytest.approx(BASE.reaches / 0.8)
    assert names(heat_maps(rows)) == ["utilization peak", "utilization ceiling"]


def test_what_is_beyond_the_peak_is_not_drawn(rows):
    wrong = rows.assign(utilization=1.5)
    assert rooflines(wrong) == heat_maps(wrong) == matmul_rates(wrong) == moe_rates(wrong) == []


def test_products_are_drawn_by_dtype_and_a_line_joins_the_square_ones(rows):
    figures = matmul_rates(rows)
    assert names(figures) == ["matmul bfloat16", "matmul float32"]
    line, points = figures[0].spec(responsive=True)["layer"]
    sets = figures[0].spec(responsive=True)["datasets"]
    assert len(sets[line["data"]["name"]]) == 4
    sizes = {round(row["size"]) for row in sets[points["data"]["name"]]}
    assert sizes == {2048, 4096, round((2048 * 512 * 2048) ** (1 / 3))}


def test_prefill_and_decode_are_apart(rows):
    decode, prefill = moe_rates(rows)
    assert (decode.name, prefill.name) == ("moe tiny-moe bf16 decode", "moe tiny-moe bf16 prefill")
    assert {row["tokens"] for row in data_of(decode)} == {16, 64}
    assert {row["tokens"] for row in data_of(prefill)} == {1024, 4096}


def test_lines_join_only_cases_that_differ_in_tokens_alone(tmp_path):
    layers = [
        Case(MoeLayer(**LAYER, tokens=tokens, **more))
        for tokens in (16, 64)
        for more in ({}, {"routing": "uniform"}, {"routing": "uniform", "cache": "hot"})
    ]
    rows = prepare({"a": load_sides([write(tmp_path, BASE, cases=layers)]).frames["chip-a"]})
    found = series_names(best(measured(rows)))
    assert set(found) == {"balanced cold", "uniform cold", "uniform hot"}
    assert len(found) == 6


def test_stages_stand_behind_each_other_with_the_whole_layer(rows):
    (figure,) = stage_profiles(rows)
    found = rows[rows["stage"].notna()].assign(bar=lambda stages: bars_of(stages))
    assert found["bar"].nunique() == 8, "four layers of two chips"
    assert set(found.groupby("bar")["stage"].nunique()) == {5}
    whole = whole_layers(rows, found)
    assert len(whole) == 8
    sums = found.groupby("bar")["time_median_s"].sum()
    for name, time_s in zip(whole["bar"], whole["time_median_s"], strict=True):
        assert sums[name] == pytest.approx(time_s)
    assert {"gate", "experts"} <= {row.get("stage") for row in data_of(figure)}


def test_profiles_of_two_runs_do_not_add_up(rows):
    twice = pd.concat([rows, rows], ignore_index=True)
    stages = twice[twice["stage"].notna()]
    bars = stages.assign(bar=bars_of(stages)).groupby("bar")["stage"]
    assert (bars.nunique() == bars.size()).all()


def test_energy_of_an_operation(rows):
    (figure,) = energy(rows)
    cases = measured(rows).set_index("row")
    found = data_of(figure)
    assert len(found) == 2 * (len(CASES) - 1), "copies have no operations"
    for datum in found:
        row = cases.loc[datum["row"]]
        assert datum["pj_per_flop"] == pytest.approx(1e12 * row["energy_j"] / row["flops"])
    assert energy(rows.assign(energy_j=math.nan)) == []


def test_samples_are_relative_to_the_median_of_their_row(rows, sides):
    found = spread(rows, samples_behind(sides.frames))
    assert found["row"].nunique() == 2 * len(CASES)
    middle = found.groupby("row")["relative"].median()
    assert list(middle) == pytest.approx([1.0] * len(middle))
    assert found["relative"].max() == pytest.approx(max(WIGGLE))
    assert names(sample_strips(rows, samples_behind(sides.frames))) == ["samples"]
    assert sample_strips(rows, {}) == []


def test_samples_of_two_rows_are_nobodys(rows, sides):
    twice = pd.concat([rows, rows], ignore_index=True)
    assert spread(twice, samples_behind(sides.frames)).empty


def test_effectiveness_is_what_compare_says(rows, sides):
    found = compare(sides.frames)
    (figure,) = effectiveness_bars(found, rows)
    drawn = {row["what"]: row for row in data_of(figure) if "what" in row}
    assert drawn.keys() == set(found.sets["set"])
    for row in found.sets.to_dict("records"):
        assert drawn[row["set"]]["ratio"] == row["ratio"]
        assert drawn[row["set"]]["low"] == row["low"]
    assert figure.title == "Rate in units of chip-a"


@given(st.lists(st.floats(1e-9, 1e9), min_size=1))
def test_ticks_are_few_and_within(values):
    ticks = theme.round_values(values)
    assert 1 <= len(ticks) <= 20
    assert min(values) <= min(ticks)
    assert max(ticks) <= max(values)
    assert ticks == sorted(ticks)


def test_ticks_of_nothing():
    assert theme.round_values([0.0, math.nan, math.inf, -1.0]) == []


@given(st.lists(st.text(), max_size=8))
def test_no_two_figures_have_one_name(given_names):
    chart = Figure("x", "x", rooflines.__doc__)
    found = with_distinct_names(
        Section("s", "s", "", [replace(chart, name=name) for name in part])
        for part in (given_names, given_names)
    )
    together = [figure.name for section in found for figure in section.figures]
    assert len(set(together)) == len(together) == 2 * len(given_names)
    for name in together:
        assert name
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize("count", [1, 2, 12])
def test_sides_keep_their_colour_and_shape_on_every_chart(tmp_path, count):
    chips = [Chip(f"chip-{number}") for number in range(count)]
    rows = prepare(load_sides([write(tmp_path, chip, cases=CASES[:1]) for chip in chips]).frames)
    every = theme.side_colour(rows).to_dict()["scale"]
    last = theme.side_colour(rows[rows["side"] == chips[-1].name]).to_dict()["scale"]
    assert last["range"] == every["range"][-1:]
    assert last["domain"] == [chips[-1].name]
    looks = {(c, s) for c, s in zip(theme.colours(range(24)), theme.shapes(range(24)), strict=True)}
    assert len(looks) == 24


def test_a_page_has_one_key_and_a_picture_its_own(rows):
    figure = rooflines(rows)[0]

    def legends(spec):
        layers = [layer["encoding"] for layer in spec["layer"]]
        return [layer["color"]["legend"] for layer in layers if "color" in layer]

    assert None not in legends(figure.spec(responsive=False))
    assert set(legends(figure.spec(responsive=True))) == {None}
