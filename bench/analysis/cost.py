"""What computing costs: $ per exaFLOP and per million tokens, from rates and the price of an hour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.analysis.estimate import Estimate, exactly

Row = Mapping[str, object]

SECONDS_AN_HOUR = 3600.0


def usd_per_exaflop(usd_per_hour: Estimate, tflops: Estimate) -> Estimate:
    """Return $ for 1e18 operations."""
    return usd_per_hour * exactly(1e6 / SECONDS_AN_HOUR) / tflops


def usd_per_million_tokens(usd_per_hour: Estimate, tokens_per_s: Estimate) -> Estimate:
    """Return $ for a million tokens of one chip."""
    return usd_per_hour * exactly(1e6 / SECONDS_AN_HOUR) / tokens_per_s


def with_energy(usd_per_hour: Estimate, power_w: float, usd_per_kwh: Estimate) -> Estimate:
    """Return the price of an hour with the chip's own electricity added."""
    return usd_per_hour + exactly(power_w / 1000) * usd_per_kwh


def fastest_by_chip(rows: Iterable[Row], kernels: Iterable[str]) -> dict[tuple[str, str], Row]:
    """Return for each chip and dtype the row with the highest rate."""
    wanted = tuple(kernels)
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row["status"] != "ok" or row["kernel"] not in wanted or not row["achieved_tflops"]:
            continue
        key = (str(row["chip"]), str(row["dtype"]))
        if key not in found or _rate(row) > _rate(found[key]):
            found[key] = row
    return found


def _rate(row: Row) -> float:
    rate = row["achieved_tflops"]
    assert isinstance(rate, (int, float))
    return float(rate)
