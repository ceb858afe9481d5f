"""List prices of language models and rents of chips, from prices.csv, each with its date and source.

A table of what others have published: every command that uses it takes prices of one's own, too.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from bench.errors import UsageError, one_of

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


def trusted_rents(chip: str) -> list[Rent]:
    """Return the rents of a chip that count where the user gives no price."""
    return [rent for rent in rents() if rent.chip == chip and rent.confidence in TRUSTED]


def rent_sources(chip: str) -> list[str]:
    """Return one line per trusted rent of a chip: price, provider, date and source."""
    return [
        f"{rent.usd_per_hour:g} $/h: {rent.provider}, {rent.date} ({rent.source})"
        for rent in trusted_rents(chip)
    ]
