"""List prices of language models and rents of chips, from prices.csv, each with its date and source.

The table holds published prices. Every command that uses it also accepts the user's own.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from bench.errors import UsageError, one_of

# Rents of lower confidence are listed, but not used as a default price.
TRUSTED = ("high", "medium")


@dataclass(frozen=True)
class ApiPrice:
    """The list price of a model's input and output tokens, in $ per million."""

    item: str
    input: float
    output: float | None
    date: str
    source: str
    confidence: str
    note: str


@dataclass(frozen=True)
class Rent:
    """The rent of a chip from one provider, in $ per hour."""

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
    """The list prices by item."""
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
    """The rents of the chips that are in the table of chips."""
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
    """Look up a list price. Raises UsageError that suggests the closest item."""
    prices = api_prices()
    if item not in prices:
        raise UsageError(f"unknown price {item!r}{one_of(item, prices)}")
    return prices[item]


def trusted_rents(chip: str) -> list[Rent]:
    """The rents of a chip that are used unless the user gives a price."""
    return [rent for rent in rents() if rent.chip == chip and rent.confidence in TRUSTED]


def rent_sources(chip: str) -> list[str]:
    """One line per trusted rent of a chip: price, provider, date and source."""
    return [
        f"{rent.usd_per_hour:g} $/h: {rent.provider}, {rent.date} ({rent.source})"
        for rent in trusted_rents(chip)
    ]
