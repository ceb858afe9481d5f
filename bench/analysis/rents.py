"""The price of an hour of a chip as an estimate: what the market asks, or what the user says."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from bench.analysis.estimate import Estimate
from bench.analysis.quantities import USD_PER_HOUR, parse_estimate
from bench.catalog.prices import trusted_rents
from bench.errors import UsageError, nearest


def market_rent(chip: str) -> Estimate | None:
    """Return the median of a chip's trusted rents in $/h, with their range; None without any."""
    rents = [rent.usd_per_hour for rent in trusted_rents(chip)]
    return Estimate(statistics.median(rents), min(rents), max(rents)) if rents else None


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
        prices[chip] = parse_estimate(text, f"--price {chip}", USD_PER_HOUR)
    return prices
