"""The price of an hour of a chip as an estimate: what the market asks, or what the user says."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

from bench.analysis.estimate import Estimate
from bench.catalog.prices import trusted_rents
from bench.errors import UsageError, nearest


def market_rent(chip: str) -> Estimate | None:
    """Return the median of a chip's trusted rents in $/h, with their range; None without any."""
    found = [rent.usd_per_hour for rent in trusted_rents(chip)]
    return Estimate(statistics.median(found), min(found), max(found)) if found else None


def parse_prices(options: Iterable[str], known: Iterable[str]) -> dict[str, Estimate]:
    """Parse the options CHIP=$/H; `known` are the chips that may be named.

    A range LOW..HIGH is an interval around its midpoint. Raises UsageError.
    """
    chips = list(known)
    prices = {}
    for option in options:
        chip, equals, text = option.partition("=")
        if not equals:
            raise UsageError(f"--price: {option!r} is not CHIP=$/H, such as h100-sxm=2.99")
        if chip not in chips:
            raise UsageError(
                f"--price: unknown chip {chip!r}{nearest(chip, chips)}; name a chip of the results, or one "
                "from `bench list chips`"
            )
        prices[chip] = parse_estimate(text, f"--price {chip}")
    return prices


def parse_estimate(text: str, option: str, most: float = math.inf) -> Estimate:
    """Parse a positive number, or LOW..HIGH with its midpoint. Raises UsageError naming the option."""
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
