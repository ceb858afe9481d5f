"""What `bench cost` prints: products, models, list prices beside them, and what all of it assumes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from bench.analysis.claims import cell, label
from bench.analysis.cost import (
    fastest_by_chip,
    usd_per_exaflop,
    usd_per_million_tokens,
    with_energy,
)
from bench.analysis.estimate import Estimate, exactly
from bench.analysis.projection import LAYER_KERNELS, measured_layers, step
from bench.cli.format import percent, significant, with_interval
from bench.errors import UsageError
from bench.models import load_models
from bench.prices import api_prices, market_rent, rent_sources

Row = Mapping[str, object]

BAR = 22
# Shares of the peak for which the cost of a product is shown, besides the measured one.
UTILIZATIONS = (0.3, 0.5, 0.8)


def cost_report(
    rows: Sequence[Row],
    given: Mapping[str, Estimate],
    energy: Estimate | None,
    model: str | None,
) -> Iterator[str]:
    """Yield the lines. Raises UsageError for a chip without a price, or rows of which none fit."""
    hours = hourly(rows, given)
    products = fastest_by_chip(rows, ("matmul", "grouped_matmul"))
    if products and model is None:
        yield "Fastest product of each chip and dtype"
        for (chip, dtype), row in sorted(products.items()):
            rate = cell(row, "achieved_tflops")
            price = per_hour(row, hours[chip], energy)
            cost = with_interval(usd_per_exaflop(price, rate))
            reached = f"{label(row)}, {significant(rate.value)} TFLOP/s"
            if row["utilization"]:
                reached += f", {percent(row['utilization'])} of the peak"
            yield f"  {chip} {dtype}: ${cost} per exaFLOP ({reached})"
            yield from sensitivity(row, price)
        yield ""
    costs = {} if not model and not layers(rows) else token_costs(rows, hours, energy, model)
    if costs:
        yield from beside_list_prices(costs)
        yield ""
    yield from assumptions(hours, given, energy, bool(costs))


def hourly(rows: Sequence[Row], given: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return the price of an hour of each chip. Raises UsageError naming those without one."""
    chips = sorted({str(row["chip"]) for row in rows if row["status"] == "ok"})
    found = {chip: given.get(chip) or market_rent(chip) for chip in chips}
    lacking = [chip for chip, price in found.items() if price is None]
    if lacking:
        options = " ".join(f"--price {chip}=$/H" for chip in lacking)
        raise UsageError(f"no published price of {', '.join(lacking)}: give one, {options}")
    return {chip: price for chip, price in found.items() if price is not None}


def per_hour(row: Row, price: Estimate, energy: Estimate | None) -> Estimate:
    """Return the price of an hour of this row's work; without its power, without electricity."""
    power = row["power_w"]
    if energy is None or not isinstance(power, (int, float)):
        return price
    return with_energy(price, power, energy)


def sensitivity(row: Row, price: Estimate) -> Iterator[str]:
    """Yield what the cost would be at other shares of the peak and ends of the price."""
    peak = row["peak_tflops"]
    if not isinstance(peak, (int, float)):
        return
    for share in UTILIZATIONS:
        cost = usd_per_exaflop(price, exactly(peak * share))
        yield f"    at {percent(share)} of the peak ${with_interval(cost)}"


def layers(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Return chip, model and dtype of each group of measured layers."""
    return sorted(
        {
            (str(row["chip"]), str(row["model"]), str(row["dtype"]))
            for row in rows
            if row["status"] == "ok"
            and row["kernel"] in LAYER_KERNELS
            and row["model"]
            and row["pass"] == "forward"
            and not row["stage"]
        }
    )


def token_costs(
    rows: Sequence[Row], hours: Mapping[str, Estimate], energy: Estimate | None, model: str | None
) -> dict[str, Estimate]:
    """Return $ per million tokens by a line's name.

    Of one model every number of tokens, of several the cheapest of each.
    """
    costs: dict[str, Estimate] = {}
    for chip, name, dtype in layers(rows):
        shape = load_models().get(name)
        if (model and name != model) or shape is None or shape.active_params_b is None:
            continue
        found = measured_layers(rows, name, chip, dtype)
        here = {
            f"{name} on {chip}, {dtype}, {tokens} token{'s' * (tokens > 1)}": usd_per_million_tokens(
                per_hour(found.rows[tokens], hours[chip], energy),
                step(found, shape, tokens).tokens_per_s,
            )
            for tokens in sorted(found.rows)
        }
        cheapest = min(here, key=lambda key: here[key].value)
        costs.update(here if model else {cheapest: here[cheapest]})
    if model and not costs:
        raise UsageError(
            f"no row of a layer of {model}: measure it with a config like moe-deepseek-v3"
        )
    return costs


def beside_list_prices(costs: Mapping[str, Estimate]) -> Iterator[str]:
    """Yield bars of $ per million tokens, of equal length for equal factors."""
    yield "$ per million tokens: computed (█) beside list prices of output tokens (░)"
    yield "each mark is a factor of 1.5; the list prices' dates are in brackets"
    lines = [(cost.value, with_interval(cost), "█", name) for name, cost in costs.items()]
    for price in api_prices().values():
        if price.output is not None:
            name = f"{price.item} ({price.date})"
            lines.append((price.output, significant(price.output), "░", name))
    least = min(value for value, *_ in lines)
    for value, shown, mark, name in sorted(lines):
        marks = mark * (1 + round(math.log(value / least) / math.log(1.5)))
        yield f"  {shown:24} {marks:{BAR}} {name}"


def assumptions(
    hours: Mapping[str, Estimate],
    given: Mapping[str, Estimate],
    energy: Estimate | None,
    tokens: bool,
) -> Iterator[str]:
    """Yield where the prices are from, and what was left out."""
    yield "Assumptions"
    for chip, price in hours.items():
        if chip in given:
            yield f"- an hour of {chip} costs ${with_interval(price)}, as given"
            continue
        yield f"- an hour of {chip} costs ${with_interval(price)}, the median of these rents:"
        yield from (f"  - {source}" for source in rent_sources(chip))
    if energy is None:
        yield "- electricity is in the price of the hour (--energy-price adds it)"
    else:
        yield f"- electricity at ${with_interval(energy)} a kWh, for rows whose power was measured"
    if tokens:
        yield (
            "- all chips are busy all the time; one step takes so many tokens through all layers: those "
            "of prompts, or in decoding one of each sequence"
        )
        yield (
            "- the rest of the active parameters (attention's projections, dense layers, shared experts "
            "that were not measured, vocabulary) runs at the best rates of the same rows"
        )
        yield "- left out: attention over earlier tokens, communication, sampling, profit"
