"""What `bench cost` says: products, models beside list prices, and what all of it assumes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bench.analysis.pricing import Costs, ProductCost, TokenCost
from bench.catalog.prices import api_prices
from bench.text.document import Document, Lines
from bench.text.format import percent, significant, with_interval
from bench.text.naming import dtype_and_size

BAR = 22

# What the JSON output has of the row of a product.
ROW_COLUMNS = ("case_id", "implementation", "utilization", "source", "file")


def cost_document(costs: Costs) -> Document:
    """Return the costs for people and for other programs."""
    return Document(blocks=[Lines(list(_lines(costs)))], data=lambda: _data(costs))


def _data(costs: Costs) -> dict[str, Any]:
    """Return the costs by the names of their fields, each estimate as value, low and high."""
    products = [
        {**asdict(product), "row": {name: product.row[name] for name in ROW_COLUMNS}}
        for product in costs.products
    ]
    return {**asdict(costs), "products": products}


def _lines(costs: Costs) -> Iterator[str]:
    if costs.products:
        yield "Fastest product of each chip and dtype"
        for product in costs.products:
            yield from _product(product)
        yield ""
    if costs.tokens:
        yield from _beside_list_prices(costs)
        yield ""
    yield from _assumptions(costs)


def _product(product: ProductCost) -> Iterator[str]:
    """Yield the cost of a product as measured, and at other shares of the peak."""
    reached = f"{dtype_and_size(product.row)}, {significant(product.tflops.value)} TFLOP/s"
    if product.row["utilization"]:
        reached += f", {percent(product.row['utilization'])} of the peak"
    usd = with_interval(product.usd_per_exaflop)
    yield f"  {product.chip} {product.dtype}: ${usd} per exaFLOP ({reached})"
    for share, cost in product.usd_at_utilization.items():
        yield f"    at {percent(share)} of the peak ${with_interval(cost)}"


def _beside_list_prices(costs: Costs) -> Iterator[str]:
    """Yield bars of $ per million tokens, of equal length for equal factors."""
    yield "$ per million tokens: computed (█) beside list prices of output tokens (░)"
    yield "each mark is a factor of 1.5; the list prices' dates are in brackets"
    lines = []
    for cost in costs.tokens:
        usd = cost.usd_per_million_tokens
        name = f"{cost.model} on {cost.chip}, {cost.dtype}, {_step(cost)}"
        lines.append((usd.value, with_interval(usd), "█", name))
    for price in api_prices().values():
        if price.output is not None:
            name = f"{price.item} ({price.date})"
            lines.append((price.output, significant(price.output), "░", name))
    least = min(value for value, *_ in lines)
    for value, usd_text, mark, name in sorted(lines):
        marks = mark * (1 + round(math.log(value / least) / math.log(1.5)))
        yield f"  {usd_text:24} {marks:{BAR}} {name}"


def _step(cost: TokenCost) -> str:
    """Return the phase of a step and its tokens in words."""
    several = "s" * (cost.tokens > 1)
    if cost.phase is None:
        return f"{cost.tokens} token{several}"
    if cost.phase == "decode":
        return f"decoding {cost.tokens} sequence{several}"
    return f"prefill of {cost.tokens} tokens"


def _assumptions(costs: Costs) -> Iterator[str]:
    """Yield where the prices are from, what a million tokens have in them, and what was left out."""
    yield "Assumptions"
    for hour in costs.hours:
        text = f"- an hour of {hour.chip} costs ${with_interval(hour.usd)}"
        if hour.sources:
            yield f"{text}, the median of these rents:"
            yield from (f"  - {source}" for source in hour.sources)
        else:
            yield f"{text}, as given"
    if costs.usd_per_kwh is None:
        yield "- electricity is in the price of the hour (--energy-price adds it)"
    else:
        usd = with_interval(costs.usd_per_kwh)
        yield f"- electricity at ${usd} a kWh, for rows whose power was measured"
    if costs.tokens:
        yield from _token_assumptions(costs.context)
        yield from (f"- {sentence}" for sentence in costs.assumed_shapes)


def _token_assumptions(context: int | None) -> Iterator[str]:
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
