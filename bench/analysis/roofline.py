"""What a time means: rates, utilization, and the bound that a case runs against.

The roofline model (Williams, Waterman & Patterson 2009), with the launch of an execution as a third
bound: no case can take less than FLOPs over peak rate, bytes over bandwidth, or one empty launch.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.backend import TOLERATED_EXCESS, Limits
from bench.kernels.base import Work


@dataclass(frozen=True)
class Rates:
    """A time held against a device's limits; what cannot be known is None.

    `roofline_bound` names the largest of the lower bounds (compute, memory, launch) and
    `roofline_fraction` is that bound over the time: 1 is as fast as the device can be.
    """

    achieved_tflops: float | None
    achieved_gbps: float | None
    weights_gbps: float | None
    tokens_per_s: float | None
    utilization: float | None
    utilization_of_ceiling: float | None
    roofline_bound: str | None
    roofline_fraction: float | None
    warnings: tuple[str, ...]


def rates(time_s: float, work: Work, limits: Limits, *, cached: bool) -> Rates:
    """Return what was achieved in `time_s` seconds.

    Peaks count where they are known, measured ceilings elsewhere. `cached` says that the operands
    may have stayed in a cache, where the memory's bandwidth is no bound.
    """
    tflops = work.flops / time_s / 1e12 if work.flops else None
    gbps = work.bytes / time_s / 1e9
    bounds = lower_bounds_s(work, limits)
    if cached:
        bounds.pop("memory", None)
    bound = max(bounds, key=lambda name: bounds[name]) if bounds else None
    fraction = bounds[bound] / time_s if bound else None
    return Rates(
        achieved_tflops=tflops,
        achieved_gbps=gbps,
        weights_gbps=work.weight_bytes / time_s / 1e9 if work.weight_bytes else None,
        tokens_per_s=work.tokens / time_s if work.tokens else None,
        utilization=_ratio(tflops, limits.peak_tflops),
        utilization_of_ceiling=_ratio(tflops, limits.ceiling_tflops),
        roofline_bound=bound,
        roofline_fraction=fraction,
        warnings=_impossible(time_s, work, limits, cached=cached),
    )


def lower_bounds_s(work: Work, limits: Limits) -> dict[str, float]:
    """Return the seconds that each known limit alone would take."""
    bounds = {}
    tflops = limits.peak_tflops or limits.ceiling_tflops
    gbps = limits.peak_gbps or limits.ceiling_gbps
    if tflops and work.flops:
        bounds["compute"] = work.flops / tflops / 1e12
    if gbps:
        bounds["memory"] = work.bytes / gbps / 1e9
    if limits.launch_s:
        bounds["launch"] = limits.launch_s
    return bounds


def _ratio(rate: float | None, limit: float | None) -> float | None:
    return rate / limit if rate is not None and limit else None


def _impossible(time_s: float, work: Work, limits: Limits, *, cached: bool) -> tuple[str, ...]:
    """Return what is faster than the data sheet; a ceiling was measured, and may have been low."""
    peaks = Limits(peak_tflops=limits.peak_tflops, peak_gbps=limits.peak_gbps)
    bounds = lower_bounds_s(work, peaks)
    if cached:
        bounds.pop("memory", None)
    return tuple(
        f"{bound_s / time_s:.2f} times as fast as the {name} peak allows"
        for name, bound_s in bounds.items()
        if bound_s > TOLERATED_EXCESS * time_s
    )
