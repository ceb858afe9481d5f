"""What result rows cost: $ per exaFLOP of products, $ per million tokens of models with measured layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Literal

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
from bench.catalog.prices import rent_sources
from bench.errors import UsageError
from bench.kernels.moe.base import MOST_DECODE_TOKENS

Row = Mapping[str, object]

# Shares of the peak for which the cost of a product is computed, besides the measured one.
UTILIZATIONS = (0.3, 0.5, 0.8)


@dataclass(frozen=True)
class HourPrice:
    """The price of an hour of a chip; `sources` are the published rents, none where it was given."""

    chip: str
    usd: Estimate
    sources: tuple[str, ...]


@dataclass(frozen=True)
class ProductCost:
    """The fastest product of a chip and dtype; `usd_at_utilization` is by share of the peak."""

    chip: str
    dtype: str
    row: Row
    tflops: Estimate
    usd_per_exaflop: Estimate
    usd_at_utilization: Mapping[float, Estimate]


@dataclass(frozen=True)
class TokenCost:
    """What tokens of a model cost at so many tokens a step; without a context, phases are alike."""

    model: str
    chip: str
    dtype: str
    tokens: int
    phase: Literal["prefill", "decode"] | None
    usd_per_million_tokens: Estimate


@dataclass(frozen=True)
class Costs:
    """Costs, and what they assume: prices, $/kWh if electricity is added, and tokens of context."""

    products: tuple[ProductCost, ...]
    tokens: tuple[TokenCost, ...]
    hours: tuple[HourPrice, ...]
    usd_per_kwh: Estimate | None
    context: int | None
    assumed_shapes: tuple[str, ...]


def price_rows(
    rows: Sequence[Row],
    given: Mapping[str, Estimate],
    *,
    usd_per_kwh: Estimate | None = None,
    model: str | None = None,
    context: int | None = None,
) -> Costs:
    """Return the costs of rows, with the prices of an hour by chip in `given`, or else published rents.

    With `model` those of its layers alone, at every number of tokens; without it the cheapest of each
    model and phase. Raises UsageError for a chip without a price, or rows of which none fit.
    """
    if not any(row["status"] == "ok" for row in rows):
        raise UsageError("no row with a measurement, so there is nothing to price")
    hours = _hour_prices(rows, given)
    usd_per_hour = {hour.chip: hour.usd for hour in hours}
    products = [] if model else _products(rows, usd_per_hour, usd_per_kwh)
    tokens = _tokens(rows, usd_per_hour, usd_per_kwh, model, context)
    names = [model] if model else [name for _, name, _ in _layer_groups(rows)]
    return Costs(
        tuple(products),
        tuple(tokens),
        tuple(hours),
        usd_per_kwh,
        context,
        tuple(assumed_shapes(names)) if tokens else (),
    )


def _hour_prices(rows: Iterable[Row], given: Mapping[str, Estimate]) -> list[HourPrice]:
    """Return the price of each chip. Raises UsageError naming those without one."""
    chips = sorted({str(row["chip"]) for row in rows if row["status"] == "ok"})
    prices = {chip: given.get(chip) or market_rent(chip) for chip in chips}
    lacking = [chip for chip, price in prices.items() if price is None]
    if lacking:
        options = " ".join(f"--price {quote(chip)}=$/H" for chip in lacking)
        raise UsageError(f"no published price of {', '.join(lacking)}: give one, {options}")
    return [
        HourPrice(chip, price, () if chip in given else tuple(rent_sources(chip)))
        for chip, price in prices.items()
        if price is not None
    ]


def _products(
    rows: Iterable[Row], usd_per_hour: Mapping[str, Estimate], usd_per_kwh: Estimate | None
) -> list[ProductCost]:
    costs = []
    fastest = fastest_by_chip(rows, ("matmul", "grouped_matmul"))
    for (chip, dtype), row in sorted(fastest.items()):
        rate = row_estimate(row, "achieved_tflops")
        price = _usd_of_an_hour(row, usd_per_hour[chip], usd_per_kwh)
        peak = row["peak_tflops"]
        shares = UTILIZATIONS if isinstance(peak, (int, float)) else ()
        at_utilization = {
            share: usd_per_exaflop(price, exactly(float(peak) * share))  # type: ignore[arg-type]
            for share in shares
        }
        cost = usd_per_exaflop(price, rate)
        costs.append(ProductCost(chip, dtype, row, rate, cost, at_utilization))
    return costs


def _tokens(
    rows: Sequence[Row],
    usd_per_hour: Mapping[str, Estimate],
    usd_per_kwh: Estimate | None,
    model: str | None,
    context: int | None,
) -> list[TokenCost]:
    """Return the costs of tokens: of one model at every number of tokens, or the cheapest of each."""
    costs: list[TokenCost] = []
    for chip, name, dtype in _layer_groups(rows):
        shape = load_models().get(name)
        if (model and name != model) or shape is None:
            continue
        layers = measured_layers(rows, name, chip, dtype)
        by_phase: dict[str | None, list[TokenCost]] = {}
        for tokens in sorted(layers.rows):
            phase, work = _attention(shape, tokens, context)
            rate = step(layers, shape, tokens, work).tokens_per_s
            price = _usd_of_an_hour(layers.rows[tokens], usd_per_hour[chip], usd_per_kwh)
            cost = TokenCost(name, chip, dtype, tokens, phase, usd_per_million_tokens(price, rate))
            by_phase.setdefault(phase, []).append(cost)
        for same_phase in by_phase.values():
            cheapest = min(same_phase, key=lambda cost: cost.usd_per_million_tokens.value)
            costs += same_phase if model else [cheapest]
    if model and not costs:
        raise UsageError(
            f"no row of a layer of {model}: measure it with a config like moe-deepseek-v3"
        )
    return costs


def _layer_groups(rows: Iterable[Row]) -> list[tuple[str, str, str]]:
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


def _attention(
    model: Model, tokens: int, context: int | None
) -> tuple[Literal["prefill", "decode"] | None, AttentionWork]:
    """Return the phase of a step, and its attention: few tokens decode, many are prompts."""
    if context is None:
        return None, AttentionWork()
    if tokens <= MOST_DECODE_TOKENS:
        return "decode", decode_attention(model, tokens, context)
    return "prefill", prefill_attention(model, tokens, context)


def _usd_of_an_hour(row: Row, price: Estimate, usd_per_kwh: Estimate | None) -> Estimate:
    """Return the price of an hour of this row's work; electricity is added where its power is known."""
    power = row["power_w"]
    if usd_per_kwh is None or not isinstance(power, (int, float)):
        return price
    return with_energy(price, power, usd_per_kwh)
