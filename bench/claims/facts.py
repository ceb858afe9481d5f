"""Single numbers that formulas can name: published ones with a source, and those of the shipped tables.

{value: 0.300, date: 2025-05, source: arXiv 2505.04519}    as published
{chip: ascend-910b2, peak: bfloat16}                       the table of chips: dense peak, FLOP/s
{chip: ascend-910b2, marketing: float16}                   a vendor's total, which no product reaches
{chip: ascend-910b2, bandwidth: memory}                    B/s
{model: deepseek-v3, parameters: active}                   the table of models: total or active
{price: GPT-4o, tokens: output}                            the table of prices: $ per million
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from bench.analysis.estimate import Estimate, exactly
from bench.catalog.chips import get_chip
from bench.catalog.models import get_model
from bench.catalog.prices import get_api_price
from bench.errors import UsageError, one_of
from bench.results.columns import EVIDENCE


@dataclass(frozen=True)
class Fact:
    """A number with its source; `evidence` is as in result rows, or `table` for the shipped tables."""

    estimate: Estimate
    source: str
    date: str
    evidence: str

    @property
    def origin(self) -> str:
        """The source of the number, its date, and how it was obtained."""
        known = [self.source, self.date, self.evidence if self.evidence != "table" else ""]
        return ", ".join(filter(None, known))


def parse_fact(value: Any) -> Fact:
    """Build a fact from an entry of a claims file. Raises UsageError without the place in the file."""
    if not isinstance(value, dict):
        raise UsageError(
            "expected {value: …, source: …}, or a chip, model or price of the shipped tables"
        )
    kinds = {
        ("value", "source"): _published,
        ("chip", "peak"): _peak,
        ("chip", "marketing"): _marketing,
        ("chip", "bandwidth"): _bandwidth,
        ("model", "parameters"): _parameters,
        ("price", "tokens"): _price,
    }
    for (first, second), make in kinds.items():
        if first in value and second in value:
            allowed = (first, second, *(("date", "evidence") if first == "value" else ()))
            for key in value:
                if key not in allowed:
                    raise UsageError(f"unknown key {key!r}{one_of(str(key), allowed)}")
            return make(value)
    expected = "; ".join(f"{first} and {second}" for first, second in kinds)
    raise UsageError(f"expected one of these pairs of keys: {expected}; got {', '.join(value)}")


def _published(value: dict[str, Any]) -> Fact:
    number, evidence = value["value"], str(value.get("evidence", "measured"))
    if (
        isinstance(number, bool)
        or not isinstance(number, (int, float))
        or not math.isfinite(number)
    ):
        raise UsageError(f"value: expected a finite number, got {number!r}")
    if evidence not in EVIDENCE:
        raise UsageError(f"evidence: unknown value {evidence!r}{one_of(evidence, EVIDENCE)}")
    return Fact(exactly(number), str(value["source"]), str(value.get("date", "")), evidence)


def _peak(value: dict[str, Any]) -> Fact:
    limits = get_chip(str(value["chip"])).limits(str(value["peak"]))
    if limits.peak_tflops is None:
        raise UsageError(f"the table of chips has no {value['peak']} peak for {value['chip']}")
    return Fact(exactly(limits.peak_tflops * 1e12), str(limits.peak_source), "", "table")


def _marketing(value: dict[str, Any]) -> Fact:
    chip = get_chip(str(value["chip"]))
    total = chip.marketing.get(str(value["marketing"]))
    if total is None:
        known = one_of(str(value["marketing"]), chip.marketing)
        raise UsageError(f"the table of chips has no such marketing total for {chip.id}{known}")
    source = f"{chip.title}: {total.tflops:g} TFLOP/s, a total of unlike units"
    return Fact(exactly(total.tflops * 1e12), f"{source} ({', '.join(total.sources)})", "", "table")


def _bandwidth(value: dict[str, Any]) -> Fact:
    chip = get_chip(str(value["chip"]))
    if value["bandwidth"] != "memory" or chip.bandwidth_gbps is None:
        raise UsageError(
            f"bandwidth: expected `memory`, of a chip whose bandwidth is known (got {chip.id})"
        )
    source = f"{chip.title}: {chip.bandwidth_text()}"
    return Fact(exactly(chip.bandwidth_gbps * 1e9), source, "", "table")


def _parameters(value: dict[str, Any]) -> Fact:
    model = get_model(str(value["model"]))
    sizes = {"total": model.total_params_b, "active": model.active_params_b}
    which = str(value["parameters"])
    if which not in sizes:
        raise UsageError(f"parameters: unknown value {which!r}{one_of(which, sizes)}")
    size = sizes[which]
    if size is None:
        raise UsageError(f"the number of {which} parameters of {value['model']} is not published")
    return Fact(
        exactly(size * 1e9), f"{model.name}: {size:g} billion parameters", model.released, "table"
    )


def _price(value: dict[str, Any]) -> Fact:
    price = get_api_price(str(value["price"]))
    which = str(value["tokens"])
    prices = {"input": price.input, "output": price.output}
    if which not in prices:
        raise UsageError(f"tokens: unknown value {which!r}{one_of(which, prices)}")
    usd = prices[which]
    if usd is None:
        raise UsageError(f"the {which} price of {price.item} is not known")
    source = f"{price.item}: ${usd:g} per million {which} tokens ({price.source})"
    return Fact(exactly(usd), source, price.date, price.confidence)
