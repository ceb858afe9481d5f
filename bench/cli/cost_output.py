"""What `bench cost` prints: products, models, list prices beside them, and what all of it assumes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from shlex import quote as quoted

from bench.analysis.attention import AttentionWork, decode_attention, prefill_attention
from bench.analysis.cost import (
    fastest_by_chip,
    usd_per_exaflop,
    usd_per_million_tokens,
    with_energy,
)
from bench.analysis.estimate import Estimate, exactly
from bench.analysis.projection import LAYER_KERNELS, measured_layers, step
from bench.analysis.rents import market_rent
from bench.analysis.row_estimates import row_estimate
from bench.catalog.models import Model, assumed_shapes, load_models
from bench.catalog.prices import api_prices, rent_sources
from bench.errors import UsageError
from bench.kernels.moe.base import MOST_DECODE_TOKENS
from bench.text.format import percent, significant, with_interval
from bench.text.naming import dtype_and_size

Row = Mapping[str, object]

BAR = 22
# Shares of the peak for which the cost of a product is shown, besides the measured one.
UTILIZATIONS = (0.3, 0.5, 0.8)


def cost_report(
    rows: Sequence[Row],
    given: Mapping[str, Estimate],
    energy: Estimate | None,
    model: str | None,
    context: int | None,
) -> Iterator[str]:
    """Yield the lines. Raises UsageError for a chip without a price, or rows of which none fit."""
    hours = hourly(rows, given)
    products = fastest_by_chip(rows, ("matmul", "grouped_matmul"))
    if products and model is None:
        yield "Fastest product of each chip and dtype"
        for (chip, dtype), row in sorted(products.items()):
            rate = row_estimate(row, "achieved_tflops")
            price = per_hour(row, hours[chip], energy)
            cost = with_interval(usd_per_exaflop(price, rate))
            reached = f"{dtype_and_size(row)}, {significant(rate.value)} TFLOP/s"
            if row["utilization"]:
                reached += f", {percent(row['utilization'])} of the peak"
            yield f"  {chip} {dtype}: ${cost} per exaFLOP ({reached})"
            yield from sensitivity(row, price)
        yield ""
    costs = (
        {} if not model and not layers(rows) else token_costs(rows, hours, energy, model, context)
    )
    if costs:
        yield from beside_list_prices(costs)
        yield ""
    yield from assumptions(hours, given, energy)
    if costs:
        yield from token_assumptions(context)
        names = [model] if model else [name for _, name, _ in layers(rows)]
        yield from (f"- {sentence}" for sentence in assumed_shapes(names))


def hourly(rows: Sequence[Row], given: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return the price of an hour of each chip. Raises UsageError naming those without one."""
    chips = sorted({str(row["chip"]) for row in rows if row["status"] == "ok"})
    found = {chip: given.get(chip) or market_rent(chip) for chip in chips}
    lacking = [chip for chip, price in found.items() if price is None]
    if lacking:
        options = " ".join(f"--price {quoted(chip)}=$/H" for chip in lacking)
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
    rows: Sequence[Row],
    hours: Mapping[str, Estimate],
    energy: Estimate | None,
    model: str | None,
    context: int | None,
) -> dict[str, Estimate]:
    """Return $ per million tokens by a line's name.

    Of one model every number of tokens, of several the cheapest of each, and of each phase.
    """
    costs: dict[str, Estimate] = {}
    for chip, name, dtype in layers(rows):
        shape = load_models().get(name)
        if (model and name != model) or shape is None:
            continue
        found = measured_layers(rows, name, chip, dtype)
        by_phase: dict[str, dict[str, Estimate]] = {}
        for tokens in sorted(found.rows):
            phase, what = phase_of(tokens, context)
            rate = step(found, shape, tokens, attention_work(shape, tokens, context)).tokens_per_s
            price = per_hour(found.rows[tokens], hours[chip], energy)
            line = f"{name} on {chip}, {dtype}, {what}"
            by_phase.setdefault(phase, {})[line] = usd_per_million_tokens(price, rate)
        for here in by_phase.values():
            cheapest = min(here, key=lambda line: here[line].value)
            costs.update(here if model else {cheapest: here[cheapest]})
    if model and not costs:
        raise UsageError(
            f"no row of a layer of {model}: measure it with a config like moe-deepseek-v3"
        )
    return costs


def phase_of(tokens: int, context: int | None) -> tuple[str, str]:
    """Return the phase of a step and its tokens in words; without attention phases are alike."""
    several = "s" * (tokens > 1)
    if context is None:
        return "any", f"{tokens} token{several}"
    if tokens <= MOST_DECODE_TOKENS:
        return "decode", f"decoding {tokens} sequence{several}"
    return "prefill", f"prefill of {tokens} tokens"


def attention_work(model: Model, tokens: int, context: int | None) -> AttentionWork:
    """Return what attention over a context adds to a step: few tokens decode, many are prompts."""
    if context is None:
        return AttentionWork()
    if tokens <= MOST_DECODE_TOKENS:
        return decode_attention(model, tokens, context)
    return prefill_attention(model, tokens, context)


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
    hours: Mapping[str, Estimate], given: Mapping[str, Estimate], energy: Estimate | None
) -> Iterator[str]:
    """Yield where the prices are from."""
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


def token_assumptions(context: int | None) -> Iterator[str]:
    """Yield what a million tokens have in them, and what was left out."""
    yield (
        "- all chips are busy all the time; one step takes so many tokens through all layers: those "
        "of prompts, or in decoding one of each sequence"
    )
    yield (
        "- the rest of the active parameters (attention's projections, dense layers, shared experts "
        "that were not measured, vocabulary) runs at the best rates of the same rows"
    )
    if context is None:
        yield (
            "- left out: attention over earlier tokens (--context counts it), communication, sampling, "
            "profit"
        )
        return
    yield (
        f"- attention by each model's shape, keys and values in bfloat16: a sequence that decodes has "
        f"{context} tokens before it, whether or not the memory holds them all; prompts have {context}"
    )
    yield "- left out: communication, sampling, profit"
