"""The sections of a report, in the order in which a reader asks: who wins, how near the limits, why."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bench.analysis.compare import Comparison
from bench.reporting.charts.bars import effectiveness_bars, energy, stage_profiles
from bench.reporting.charts.rates import matmul_rates, moe_rates
from bench.reporting.charts.roofline import rooflines
from bench.reporting.charts.samples import sample_strips
from bench.reporting.charts.utilization import heat_maps
from bench.reporting.figure import Section, Table
from bench.reporting.tables import every_pair, every_row, not_measured, sets_table
from bench.results.sides import Samples
from bench.text.format import percent


def sections(
    rows: pd.DataFrame, samples: Mapping[str, Samples], comparison: Comparison | None
) -> list[Section]:
    """Return the sections about what `prepare` returned; `comparison` is of the same sides."""
    candidates = [
        *([] if comparison is None else [_effectiveness(rows, comparison)]),
        Section(
            "roofline",
            "Roofline",
            "Each mark is a case, the line what compute and memory allow: solid by the data sheet, "
            "dashed as measured on the device. How far a mark is below its line is what software could "
            "still win.",
            rooflines(rows),
            empty="No case with floating-point operations was measured.",
        ),
        Section(
            "utilization",
            "Utilization",
            "The highest share of the limit that any case reached, each by its fastest "
            "implementation: of the compute rate, and for the kernel memory of the bandwidth. Which "
            "cases these are differs where devices measured different ones. Layers at few tokens are "
            "bound by memory, so little of the compute rate is within their reach.",
            heat_maps(rows),
            empty="No peak and no ceiling of these devices is known, so there is no share of them.",
        ),
        Section(
            "matmul",
            "Matrix products",
            "Rate against size, of each side's fastest implementation. A line joins the square ones.",
            matmul_rates(rows),
            empty="No matrix product was measured: bench run matmul measures them.",
        ),
        Section(
            "moe",
            "Mixture-of-experts layers",
            "Tokens a second through one layer, on one device, by its fastest implementation. Decode, "
            "up to 512 tokens, reads every expert's weights for few tokens; prefill computes.",
            moe_rates(rows),
            empty="No layer was measured: bench run moe-deepseek-v3 measures some.",
        ),
        Section(
            "stages",
            "Stages of the layer",
            "Where a layer's time goes. The stroke is the time of the whole layer, measured without "
            "looking into it.",
            stage_profiles(rows),
            empty="These files have no stages: bench run --stages measures each stage of a layer.",
        ),
        Section(
            "energy",
            "Energy",
            "The energy of one execution over its floating-point operations.",
            energy(rows),
            empty="No row has the energy of its executions.",
        ),
        Section(
            "samples",
            "Samples",
            "A stroke a sample: what the medians stand for. The least steady cases come first.",
            sample_strips(rows, samples),
            empty="The samples are not beside the result files (NAME.pyperf.json beside NAME.csv).",
        ),
    ]
    filled = [section for section in candidates if section.figures or section.tables]
    empty = [section for section in candidates if section not in filled]
    every = Section("rows", "Every row", "", tables=[every_row(rows)])
    return [*filled, every, _missing(rows, comparison, empty)]


def _effectiveness(rows: pd.DataFrame, comparison: Comparison) -> Section:
    tables = [
        table for table in (sets_table(comparison), every_pair(comparison)) if table is not None
    ]
    origin = comparison.pairs["interval_from"].value_counts()
    unknown = int(origin.get("nothing", 0))
    doubt = (
        f" {unknown} of {len(comparison.pairs)} pairs have no interval, because a side published none: the "
        "ratio gives a direction, and nothing says how certain it is."
        if unknown
        else ""
    )
    return Section(
        "effectiveness",
        "Which is faster",
        f"The geometric mean of the ratio of rates, in units of {comparison.base}, over the cases of a "
        "named set that both measured, each by its fastest implementation. Thin line: the range of "
        "the cases. Thick line: the 95 % interval of the mean over exactly these cases. Diamond: what "
        f"the data sheets predict. Differences below {percent(comparison.threshold)} do not matter.{doubt}",
        effectiveness_bars(comparison, rows),
        tables,
        f"No other device has a case in common with {comparison.base}: run the same config on each, or "
        "name another base (--base).",
    )


def _missing(rows: pd.DataFrame, comparison: Comparison | None, empty: list[Section]) -> Section:
    """Return what these files lack: whole sections, ceilings, rates of cases, partners to compare."""
    lacking: list[tuple[str, ...]] = [(section.title, section.empty) for section in empty]
    if not (rows["ceiling_tflops"].notna().any() or rows["ceiling_gbps"].notna().any()):
        lacking.append(("Ceilings", "No row has a measured ceiling: shares are of peaks only."))
    cases = not_measured(rows, comparison)
    tables = [Table(("what", "why it is not here"), lacking)] if lacking else []
    return Section(
        "missing",
        "What was not measured",
        "" if tables or cases else "Every case of these files was measured.",
        tables=[*tables, *([cases] if cases else [])],
    )
