"""Costs from rates and the price of an hour: $ per exaFLOP and per million tokens."""

from __future__ import annotations

from collections.abc import Iterable

from bench.analysis.estimate import Estimate, exactly
from bench.analysis.row_estimates import number
from bench.results.columns import Row

SECONDS_PER_HOUR = 3600.0


def usd_per_exaflop(usd_per_hour: Estimate, tflops: Estimate) -> Estimate:
    """$ for 1e18 operations."""
    return usd_per_hour * exactly(1e6 / SECONDS_PER_HOUR) / tflops


def usd_per_million_tokens(usd_per_hour: Estimate, tokens_per_s: Estimate) -> Estimate:
    """$ for a million tokens of one chip."""
    return usd_per_hour * exactly(1e6 / SECONDS_PER_HOUR) / tokens_per_s


def with_energy(usd_per_hour: Estimate, power_w: float, usd_per_kwh: Estimate) -> Estimate:
    """The price of an hour with the chip's own electricity added."""
    return usd_per_hour + exactly(power_w / 1000) * usd_per_kwh


def fastest_by_chip(rows: Iterable[Row], kernels: Iterable[str]) -> dict[tuple[str, str], Row]:
    """Return the row with the highest rate for each chip and dtype."""
    wanted = tuple(kernels)
    fastest: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row["status"] != "ok" or row["kernel"] not in wanted or not row["achieved_tflops"]:
            continue
        key = (str(row["chip"]), str(row["dtype"]))
        if key not in fastest or _rate(row) > _rate(fastest[key]):
            fastest[key] = row
    return fastest


def _rate(row: Row) -> float:
    return number(row["achieved_tflops"])
