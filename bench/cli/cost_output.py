"""What `bench cost` shows: products, models beside list prices, and what all of it assumes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from bench.analysis.estimate import Estimate
from bench.analysis.pricing import UTILIZATIONS, Costs, NotPriced, ProductCost, TokenCost
from bench.catalog.prices import api_prices
from bench.cli.assumptions import assumption_table
from bench.kernels.dtypes import short_dtype
from bench.kernels.moe.base import MOST_DECODE_TOKENS
from bench.text.document import Block, Document, Heading, Lines, Table, TableColumn
from bench.text.format import UNKNOWN, percent, significant, with_interval
from bench.text.naming import dtype_and_size

# Each further character of a bar stands for this factor.
FACTOR = 2

# Narrower terminals show no bars, and no costs at other shares of the peak.
WIDE = 100

# What the tokens of a phase are to a user, and the list price that they are comparable with.
PHASES = {"prefill": ("prompt tokens", "input"), "decode": ("generated tokens", "output")}

# What the JSON output has of the row of a product.
ROW_COLUMNS = ("case_id", "implementation", "utilization", "source", "file")

# The columns of the CSV output.
RECORD = ("quantity", "chip", "dtype", "model", "phase", "tokens", "expert_parallel")
RECORD_VALUES = ("value", "low", "high")


def cost_document(costs: Costs) -> Document:
    """Return the costs for people and for other programs."""
    return Document(blocks=_blocks(costs), records=_records(costs), data=lambda: _data(costs))


def _data(costs: Costs) -> dict[str, Any]:
    """Return the costs by the names of their fields, each estimate as value, low and high."""
    products = [
        {**asdict(product), "row": {name: product.row[name] for name in ROW_COLUMNS}}
        for product in costs.products
    ]
    return {**asdict(costs), "products": products}


def _records(costs: Costs) -> Iterator[Sequence[object]]:
    """Yield the column names, then one record per cost and price."""
    yield [*RECORD, *RECORD_VALUES]
    for hour in costs.hours:
        yield ["usd_per_hour", hour.chip, *[None] * 5, *_bounds(hour.usd)]
    for product in costs.products:
        identity = [product.chip, product.dtype, *[None] * 4]
        yield ["usd_per_exaflop", *identity, *_bounds(product.usd_per_exaflop)]
    for cost in costs.tokens:
        yield [
            "usd_per_million_tokens",
            cost.chip,
            cost.dtype,
            cost.model,
            cost.phase,
            cost.tokens,
            cost.measured.expert_parallel,
            *_bounds(cost.usd_per_million_tokens),
        ]


def _bounds(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _blocks(costs: Costs) -> Iterator[Block]:
    if costs.products:
        yield Heading("Fastest product of each chip and dtype, in $ per exaFLOP")
        yield _products(costs.products)
    for phase, (what, list_price) in PHASES.items():
        of_phase = [cost for cost in costs.tokens if cost.phase == phase]
        if of_phase:
            yield Heading(f"$ per million {what} (█) beside list prices of {list_price} tokens (░)")
            yield _beside_list_prices(of_phase, list_price)
    if costs.not_priced:
        yield Heading("Not priced: the chips do not hold the model as measured")
        yield Table(
            [
                TableColumn("model", "left"),
                TableColumn("chip", "left"),
                TableColumn("dtype", "left"),
                TableColumn("reason", "left", wraps=True, min_width=20),
            ],
            [[each.model, each.chip, each.dtype, each.reason] for each in costs.not_priced],
        )
        yield Lines(_remedies(costs.not_priced))
    yield Heading("Assumptions")
    yield assumption_table(list(_assumptions(costs)))


def _remedies(not_priced: Sequence[NotPriced]) -> list[str]:
    """Return how to measure what was not priced: commands for one model, for several where they are."""
    if len({each.model for each in not_priced}) > 1:
        return ["--model NAME says how to measure what the chips hold"]
    return [line for each in not_priced for line in each.remedy.splitlines()]


def _products(products: Sequence[ProductCost]) -> Table:
    """Return the cost of each product as measured, and at other shares of the peak."""
    shares = [TableColumn(f"at {percent(share)}", from_width=WIDE) for share in UTILIZATIONS]
    columns = [
        TableColumn("chip", "left"),
        TableColumn("product", "left", wraps=True, min_width=16),
        TableColumn("TFLOP/s"),
        TableColumn("of peak"),
        TableColumn("$ per exaFLOP"),
        *shares,
    ]
    return Table(
        columns,
        [
            [
                product.chip,
                dtype_and_size(product.row),
                significant(product.tflops.value),
                percent(product.row["utilization"]),
                with_interval(product.usd_per_exaflop),
                *(_at(product, share) for share in UTILIZATIONS),
            ]
            for product in products
        ],
    )


def _at(product: ProductCost, share: float) -> str:
    cost = product.usd_at_utilization.get(share)
    return UNKNOWN if cost is None else significant(cost.value)


def _beside_list_prices(costs: Sequence[TokenCost], list_price: str) -> Table:
    """Return costs and list prices, sorted, with bars that are equally longer for equal factors."""
    lines = []
    for cost in costs:
        usd = cost.usd_per_million_tokens
        lines.append((usd.value, with_interval(usd), "█", _name(cost)))
    for price in api_prices().values():
        usd_listed = price.input if list_price == "input" else price.output
        if usd_listed is not None:
            name = f"{price.item} ({price.date})"
            lines.append((usd_listed, significant(usd_listed), "░", name))
    least = min(value for value, *_ in lines if value > 0)
    rows = [
        [text, bar * _bar_length(value, least), name] for value, text, bar, name in sorted(lines)
    ]
    columns = [
        TableColumn("$ per million", "left"),
        TableColumn("", "left", from_width=WIDE),
        TableColumn("of", "left", wraps=True),
    ]
    return Table(columns, rows)


def _bar_length(value: float, least: float) -> int:
    return 1 + max(0, round(math.log(value / least, FACTOR))) if value > 0 else 0


def _name(cost: TokenCost) -> str:
    """Return the model, the chips that share its experts, and the tokens of a step in words."""
    chips = cost.measured.expert_parallel
    on = cost.chip if chips == 1 else f"{chips} × {cost.chip}"
    if cost.phase == "prefill":
        tokens = f"{cost.tokens} tokens of prompts"
    else:
        tokens = f"{cost.tokens} sequence{'s' * (cost.tokens > 1)}"
    return f"{cost.model} on {on}, {short_dtype(cost.dtype)}, {tokens}"


def _assumptions(costs: Costs) -> Iterator[tuple[str, str]]:
    """Yield where the prices are from, what a million tokens have in them, and what was left out."""
    for hour in costs.hours:
        text = f"${with_interval(hour.usd)} for {hour.chip}"
        if hour.sources:
            yield "an hour", f"{text}, the median of these rents: {'; '.join(hour.sources)}"
        else:
            yield "an hour", f"{text}, as given"
    if costs.usd_per_kwh is None:
        yield "electricity", "in the price of the hour (--energy-price adds it)"
    else:
        usd = with_interval(costs.usd_per_kwh)
        yield "electricity", f"${usd} per kWh, for rows whose power was measured"
    if costs.tokens:
        yield from _token_assumptions(costs)


def _token_assumptions(costs: Costs) -> Iterator[tuple[str, str]]:
    for sentence in costs.assumed_shapes:
        yield "shape", sentence
    for kind in dict.fromkeys(cost.measured for cost in costs.tokens):
        yield "layers", f"as measured by {kind.layer_text}"
    yield (
        "a step",
        "all chips are busy all the time; a step takes so many tokens per chip through all layers: those "
        f"of prompts, or in decoding one per sequence (up to {MOST_DECODE_TOKENS})",
    )
    yield (
        "the rest",
        "active parameters outside of the measured layers (attention's projections, dense layers, "
        "vocabulary; with moe_experts also router and shared experts) are on every chip and run at the "
        "best rates of the same rows",
    )
    yield (
        "memory",
        "where a chip's is known, it holds its share of the routed experts, all other weights, and keys "
        "and values; memory for activations and libraries is not counted",
    )
    if costs.context is not None:
        yield (
            "attention",
            f"by each model's shape, keys and values in bfloat16: a sequence that decodes has "
            f"{costs.context} tokens before it; prompts have {costs.context}",
        )
        yield "left out", "communication, sampling, profit"
    else:
        yield (
            "left out",
            "attention over earlier tokens and the memory of their keys and values (--context counts "
            "both), communication, sampling, profit",
        )
