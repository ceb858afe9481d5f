"""Prices of result rows: $ per exaFLOP of products, $ per million tokens of models with measured layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from bench.analysis.attention import (
    AttentionWork,
    decode_attention,
    kept_bytes,
    prefill_attention,
)
from bench.analysis.cost import (
    fastest_by_chip,
    usd_per_exaflop,
    usd_per_million_tokens,
    with_energy,
)
from bench.analysis.deployment import Deployment, measure_text, no_room, why_none_fits
from bench.analysis.estimate import Estimate, exactly
from bench.analysis.inference import Phase, prompts_of
from bench.analysis.layers import LAYER_KERNELS, LayerKind, Layers, is_layer_of, measured_layers
from bench.analysis.projection import step
from bench.analysis.rents import market_rent
from bench.analysis.row_estimates import row_estimate
from bench.catalog.chips import load_chips
from bench.catalog.models import Model, assumed_shapes, load_models
from bench.catalog.prices import rent_sources
from bench.errors import UsageError
from bench.kernels.moe.base import MOST_DECODE_TOKENS

Row = Mapping[str, object]

# Shares of the peak for which the cost of a product is computed, besides the measured one.
UTILIZATIONS = (0.3, 0.5, 0.8)

# Tokens per chip that a suggested measurement takes, from decode to prefill.
SUGGESTED_TOKENS = (16, 64, 256, 1024, 4096, 16384)


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
    """What tokens of a model cost at so many tokens per step.

    Few tokens per step are decoded, one of each sequence; many are those of prompts. `measured` is how
    the layers were run: as many chips as share the experts hold the model.
    """

    model: str
    chip: str
    dtype: str
    tokens: int
    phase: Phase
    usd_per_million_tokens: Estimate
    measured: LayerKind


@dataclass(frozen=True)
class NotPriced:
    """Layers of a model that no chips can serve as measured, or not with so much context.

    `remedy` is how to measure what could be priced.
    """

    model: str
    chip: str
    dtype: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return (
            f"no cost of {self.model} on {self.chip} in {self.dtype}: {self.reason}; {self.remedy}"
        )


@dataclass(frozen=True)
class Costs:
    """Costs, and what they assume: prices, $/kWh if electricity is added, and tokens of context."""

    products: tuple[ProductCost, ...]
    tokens: tuple[TokenCost, ...]
    not_priced: tuple[NotPriced, ...]
    hours: tuple[HourPrice, ...]
    usd_per_kwh: Estimate | None
    context: int | None
    assumed_shapes: tuple[str, ...]


def price_rows(
    rows: Sequence[Row],
    given: Mapping[str, Estimate],
    *,
    usd_per_kwh: Estimate | None = None,
    model: Model | None = None,
    context: int | None = None,
) -> Costs:
    """Return the costs of rows, with the prices of an hour by chip in `given`, or else published rents.

    With `model` those of its layers alone, at every number of tokens; without it the cheapest of each
    model and phase. Raises UsageError for a chip without a price, or rows of which none fit.
    """
    if not any(row["status"] == "ok" for row in rows):
        raise UsageError("no row with a measurement, so there is nothing to price")
    hours = _hour_prices(rows, given)
    prices = Prices({hour.chip: hour.usd for hour in hours}, usd_per_kwh)
    products = [] if model else _products(rows, prices)
    tokens, not_priced = _tokens(rows, prices, model, context)
    if model and not tokens:
        raise UsageError("\n".join(map(str, not_priced)) or _not_measured(model, hours[0].chip))
    return Costs(
        tuple(products),
        tuple(tokens),
        tuple(not_priced),
        tuple(hours),
        usd_per_kwh,
        context,
        tuple(assumed_shapes(cost.model for cost in tokens)),
    )


@dataclass(frozen=True)
class Prices:
    """The price of an hour by chip, and of electricity if it is to be added."""

    usd_per_hour: Mapping[str, Estimate]
    usd_per_kwh: Estimate | None

    def of_hour(self, row: Row) -> Estimate:
        """Return the price of an hour of a row's work; electricity is added where its power is known."""
        price, power = self.usd_per_hour[str(row["chip"])], row["power_w"]
        if self.usd_per_kwh is None or not isinstance(power, (int, float)):
            return price
        return with_energy(price, power, self.usd_per_kwh)


def _not_measured(model: Model, chip: str) -> str:
    """Return that a model has no rows, and how to measure some on a chip."""
    deployment = Deployment(model, "bfloat16", chip, _memory_gb(chip))
    remedy = measure_text(deployment, SUGGESTED_TOKENS, deployment.smallest_sharing())
    return f"no row of a layer of {model.id}; {remedy}"


def _memory_gb(chip: str) -> float | None:
    """Return the memory of a chip; None if no table has it."""
    known = load_chips().get(chip)
    return known.memory_gb if known else None


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


def _products(rows: Iterable[Row], prices: Prices) -> list[ProductCost]:
    costs = []
    fastest = fastest_by_chip(rows, ("matmul", "grouped_matmul"))
    for (chip, dtype), row in sorted(fastest.items()):
        rate, price = row_estimate(row, "achieved_tflops"), prices.of_hour(row)
        peak = row["peak_tflops"]
        at_utilization = {
            share: usd_per_exaflop(price, exactly(float(peak) * share))
            for share in UTILIZATIONS
            if isinstance(peak, (int, float))
        }
        cost = usd_per_exaflop(price, rate)
        costs.append(ProductCost(chip, dtype, row, rate, cost, at_utilization))
    return costs


def _tokens(
    rows: Sequence[Row], prices: Prices, model: Model | None, context: int | None
) -> tuple[list[TokenCost], list[NotPriced]]:
    """Return the costs of tokens: of one model at every number of tokens, or the cheapest of each."""
    costs: list[TokenCost] = []
    not_priced: list[NotPriced] = []
    for chip, name, dtype in _layer_groups(rows, model):
        shape = load_models().get(name)
        if shape is None:
            continue
        deployment = Deployment(shape, dtype, chip, _memory_gb(chip))
        try:
            every, problems = _costs_of_model(rows, deployment, prices, context)
        except UsageError as error:  # the rows lack a rate that the rest of the model needs
            every = []
            problems = [NotPriced(name, chip, dtype, str(error), "give files with such rows, too")]
        not_priced += problems
        for phase in dict.fromkeys(cost.phase for cost in every):
            same_phase = [cost for cost in every if cost.phase == phase]
            cheapest = min(same_phase, key=lambda cost: cost.usd_per_million_tokens.value)
            costs += same_phase if model else [cheapest]
    return costs, not_priced


def _costs_of_model(
    rows: Sequence[Row], deployment: Deployment, prices: Prices, context: int | None
) -> tuple[list[TokenCost], list[NotPriced]]:
    """Return the costs at each number of tokens whose deployment fits, and what does not fit."""
    name, chip, dtype = deployment.model.id, deployment.chip, deployment.dtype
    layers = measured_layers(rows, deployment.model, chip, dtype)
    fitting = [each for each in layers if deployment.fits(each.kind.expert_parallel)]
    if not fitting:
        reason, sharing = why_none_fits(layers, deployment), deployment.smallest_sharing()
        measured = {tokens for each in layers for tokens in each.rows}
        remedy = measure_text(deployment, measured, sharing)
        return [], [NotPriced(name, chip, dtype, reason, remedy)]
    chosen = fitting[0]
    costs, too_many = [], []
    for tokens in sorted(chosen.rows):
        if not deployment.fits(
            chosen.kind.expert_parallel, _cache_bytes(deployment.model, tokens, context)
        ):
            too_many.append(tokens)
            continue
        work = _attention(deployment.model, tokens, context)
        rate = step(chosen, deployment.model, tokens, work).tokens_per_s
        cost = usd_per_million_tokens(prices.of_hour(chosen.rows[tokens]), rate)
        costs.append(TokenCost(name, chip, dtype, tokens, _phase(tokens), cost, chosen.kind))
    return costs, _without_room(deployment, chosen, too_many, context)


def _without_room(
    deployment: Deployment, layers: Layers, too_many: Sequence[int], context: int | None
) -> list[NotPriced]:
    """Return the numbers of tokens whose keys and values have no room beside the weights."""
    if not too_many:
        return []
    sharing = layers.kind.expert_parallel
    model = deployment.model
    memory = deployment.memory(sharing, _cache_bytes(model, too_many[0], context))
    reason = f"at {', '.join(map(str, too_many))} tokens {no_room(sharing, memory)}"
    shared = {
        tokens: deployment.smallest_sharing(_cache_bytes(model, tokens, context))
        for tokens in too_many
    }
    enough = [count for count in shared.values() if count is not None]
    remedy = "use a shorter context"
    if enough:
        possible = [tokens for tokens in too_many if shared[tokens] is not None]
        remedy = measure_text(deployment, possible, max(enough))
    return [NotPriced(deployment.model.id, deployment.chip, deployment.dtype, reason, remedy)]


def _cache_bytes(model: Model, tokens: int, context: int | None) -> float:
    """Return the bytes of keys and values of a step: one sequence per token, or whole prompts."""
    if context is None:
        return 0.0
    sequences = tokens if _phase(tokens) == "decode" else prompts_of(tokens, context)
    return sequences * kept_bytes(model, context)


def _layer_groups(rows: Iterable[Row], model: Model | None) -> list[tuple[str, str, str]]:
    """Return chip, model and dtype of each group of measured layers: of one model, or of every named one."""
    forward = [
        row
        for row in rows
        if row["status"] == "ok" and row["pass"] == "forward" and not row["stage"]
    ]
    if model:
        named = [(model.id, row) for row in forward if is_layer_of(row, model)]
    else:
        layers = [row for row in forward if row["kernel"] in LAYER_KERNELS and row["model"]]
        named = [(str(row["model"]), row) for row in layers]
    return sorted({(str(row["chip"]), name, str(row["dtype"])) for name, row in named})


def _attention(model: Model, tokens: int, context: int | None) -> AttentionWork:
    """Return the attention of a step over a context; without one it is left out."""
    if context is None:
        return AttentionWork()
    if _phase(tokens) == "decode":
        return decode_attention(model, tokens, context)
    return prefill_attention(model, tokens, context)


def _phase(tokens: int) -> Phase:
    return "decode" if tokens <= MOST_DECODE_TOKENS else "prefill"
