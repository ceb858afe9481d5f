"""List prices of language models and rents of chips, from prices.csv, each with its date and source.

A table of what others have published: every command that uses it takes prices of one's own, too.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from bench.analysis.estimate import Estimate
from bench.errors import UsageError, nearest, one_of

# Rents of lower confidence are listed but not used where nobody gives a price.
TRUSTED = ("high", "medium")


@dataclass(frozen=True)
class ApiPrice:
    """What a provider asks for tokens of a model, in $ per million."""

    item: str
    input: float
    output: float | None
    date: str
    source: str
    confidence: str
    note: str


@dataclass(frozen=True)
class Rent:
    """What a provider asks for an hour of a chip, in $."""

    chip: str
    provider: str
    usd_per_hour: float
    date: str
    source: str
    confidence: str


@cache
def _lines() -> list[dict[str, str]]:
    text = (resources.files("bench.catalog") / "prices.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@cache
def api_prices() -> dict[str, ApiPrice]:
    """Return the list prices by item."""
    return {
        line["item"]: ApiPrice(
            line["item"],
            float(line["input"]),
            float(line["output"]) if line["output"] else None,
            line["date"],
            line["source"],
            line["confidence"],
            line["note"],
        )
        for line in _lines()
        if line["kind"] == "api"
    }


@cache
def rents() -> tuple[Rent, ...]:
    """Return the rents of chips that the table of chips knows."""
    return tuple(
        Rent(
            line["chip"],
            line["provider"],
            float(line["usd_per_hour"]),
            line["date"],
            line["source"],
            line["confidence"],
        )
        for line in _lines()
        if line["kind"] == "rental" and line["chip"]
    )


def get_api_price(item: str) -> ApiPrice:
    """Return a list price. Raises UsageError naming the nearest item."""
    prices = api_prices()
    if item not in prices:
        raise UsageError(f"unknown price {item!r}{one_of(item, prices)}")
    return prices[item]


def market_rent(chip: str) -> Estimate | None:
    """Return the median of a chip's trusted rents, between the lowest and the highest; None of none."""
    found = [rent.usd_per_hour for rent in rents() if _trusted(rent, chip)]
    return Estimate(statistics.median(found), min(found), max(found)) if found else None


def _trusted(rent: Rent, chip: str) -> bool:
    return rent.chip == chip and rent.confidence in TRUSTED


def rent_sources(chip: str) -> list[str]:
    """Return where a chip's rents are from, a line each."""
    return [
        f"{rent.usd_per_hour:g} $/h: {rent.provider}, {rent.date} ({rent.source})"
        for rent in rents()
        if _trusted(rent, chip)
    ]


def parse_prices(options: Iterable[str], known: Iterable[str]) -> dict[str, Estimate]:
    """Return the prices that CHIP=$/H options give; `known` are the chips one may name.

    A range LOW..HIGH is an interval around its middle. Raises UsageError.
    """
    chips = list(known)
    prices = {}
    for option in options:
        chip, equals, text = option.partition("=")
        if not equals:
            raise UsageError(f"--price: {option!r} is not CHIP=$/H, such as h100-sxm=2.99")
        if chip not in chips:
            raise UsageError(
                f"--price: unknown chip {chip!r}{nearest(chip, chips)}; it is one of the chips in the "
                "results, or of those that `bench list chips` shows"
            )
        prices[chip] = parse_estimate(text, f"--price {chip}")
    return prices


def parse_estimate(text: str, option: str, most: float = math.inf) -> Estimate:
    """Return a positive number, or LOW..HIGH with its middle. Raises UsageError naming the option."""
    parts = text.strip().split("..")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise UsageError(f"{option}: expected a number, or LOW..HIGH, got {text!r}") from None
    for number in numbers:
        if not math.isfinite(number) or number <= 0 or number > most:
            bound = f" and at most {most:g}" if most < math.inf else ""
            raise UsageError(f"{option}: expected more than 0{bound}, got {text!r}")
    if len(numbers) > 2 or numbers[0] > numbers[-1]:
        raise UsageError(f"{option}: expected LOW..HIGH, got {text!r}")
    return Estimate(sum(numbers) / len(numbers), numbers[0], numbers[-1])
