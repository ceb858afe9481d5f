"""Makes result rows from a case, a device, and the outcomes of its visits."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.analysis.roofline import Rates, rates
from bench.analysis.statistics import TOO_NOISY, Summary, summarize
from bench.backend import TOLERATED_EXCESS, Device, Telemetry
from bench.config.cases import Case, canonical_json
from bench.kernels.base import Work
from bench.kernels.routing import Load
from bench.measure.protocol import CaseWork, Outcome
from bench.results.columns import BY_NAME, COLUMNS, Row

# Parameters that have a column of their own besides `params`.
REPEATED = tuple(column.name for column in COLUMNS if column.parameter)

# Sensor readings describe whole executions, not stages.
SENSORS = tuple(column for column in COLUMNS if column.group == "telemetry")

HOST_BOUND = "the device waited for the host's launches: the time is the host's (see graph: true)"

# A case that becomes slower or faster by more than this gets a warning.
NOTABLE_DRIFT = 0.05


def make_row(
    case: Case,
    device: Device,
    outcomes: Sequence[Outcome],
    work: CaseWork | None,
    *,
    seed: int,
    identity: dict[str, object],
    stop_reason: str | None = None,
    together: int = 1,
) -> Row:
    """Return one row; `outcomes` are those of the visits to the case, in the order of time.

    `work` is None where no worker lived long enough to compute it. `together` is the number of devices
    that were measured at the same time; `stop_reason` says why there was no further visit.

    A case is as good as its worst visit: the first that is not `ok` decides status and error, and
    the row has no times and rates then.
    """
    worst = next((outcome for outcome in outcomes if outcome.status != "ok"), outcomes[0])
    row: Row = {
        **identity,
        "case_id": case.case_id,
        "seed": seed,
        **_device_columns(device),
        "devices_together": together,
        **_work_columns(case, work.whole if work else None),
        "implementation": worst.implementation,
        "status": worst.status,
        "error": worst.error,
        "verified": worst.verified,
        "rel_error": worst.rel_error,
        "tolerance": worst.tolerance,
        "compared": worst.compared,
        "timing": worst.timing,
        "flush_bytes": worst.flush_bytes,
        "compile_s": worst.compile_s,
        "peak_tflops": worst.limits.peak_tflops,
        "peak_gbps": worst.limits.peak_gbps,
        "peak_source": worst.limits.peak_source,
        "ceiling_tflops": worst.limits.ceiling_tflops,
        "ceiling_gbps": worst.limits.ceiling_gbps,
        "ceiling_source": worst.limits.ceiling_source,
        "launch_overhead_s": worst.limits.launch_s,
    }
    if worst.status == "ok" and work is not None:
        row.update(_measured_columns(device, work, outcomes))
        row["stop_reason"] = stop_reason or outcomes[-1].stop_reason
    return row


def _device_columns(device: Device) -> Row:
    return {
        "chip": device.chip,
        "device_name": device.name,
        "device_index": device.index,
        "driver": device.driver,
        "runtime": device.runtime,
        "threads": device.threads,
        "simulated": device.simulated,
    }


def _work_columns(case: Case, work: Work | None) -> Row:
    parameters = case.kernel.parameters()
    return {
        "kernel": case.kernel.name,
        "model": case.model,
        "params": canonical_json(parameters),
        **{name: parameters.get(name) for name in REPEATED},
        "phase": getattr(case.kernel, "phase", None),
        "expert_device": getattr(case.kernel, "named_device", None),
        **(_load_columns(work.load) if work else {}),
        **(_size_columns(work) if work else {}),
    }


def _size_columns(work: Work) -> Row:
    return {
        "flops": work.flops,
        "bytes": work.bytes,
        "weight_bytes": work.weight_bytes,
        "arithmetic_intensity": work.flops / work.bytes,
    }


def _load_columns(load: Load | None) -> Row:
    if load is None:
        return {}
    return {
        "routing_sha256": load.routing_sha256,
        "imbalance": load.imbalance,
        "imbalance_cv": load.imbalance_cv,
        "experts_unused": load.experts_unused,
        "assignments_dropped": load.dropped,
        "device_load": load.device_load,
    }


def _measured_columns(device: Device, work: CaseWork, outcomes: Sequence[Outcome]) -> Row:
    summary = summarize([outcome.values_s for outcome in outcomes])
    first = outcomes[0]
    achieved = rates(
        summary.median_s, work.whole, first.limits, cached=_cached(work, device, first)
    )
    processes = {outcome.process for outcome in outcomes}
    readings = [outcome.telemetry for outcome in outcomes]
    host_bound = _mostly([outcome.host_bound for outcome in outcomes])
    return {
        **_time_columns(summary),
        **_rate_columns(achieved),
        "samples": sum(len(outcome.values_s) for outcome in outcomes),
        "loops": statistics.median_low(outcome.loops or 1 for outcome in outcomes),
        "rounds": len(outcomes),
        "round_medians_s": " ".join(f"{value:.9g}" for value in summary.rounds_s),
        "processes": len(processes),
        "host_bound": host_bound,
        "reference_s": _median([outcome.reference_s for outcome in outcomes]),
        "warmups": sum(len(outcome.warm_ups) for outcome in outcomes),
        **{
            sensor.name: sensor.combined(getattr(reading, sensor.name) for reading in readings)
            for sensor in SENSORS
        },
        "warnings": "; ".join(
            dict.fromkeys(
                [
                    *_warnings(achieved, summary),
                    *_disturbances(readings),
                    *([HOST_BOUND] if host_bound else []),
                    *(text for outcome in outcomes for text in outcome.remarks),
                ]
            )
        )
        or None,
    }


def make_stage_rows(
    device: Device, outcomes: Sequence[Outcome], work: CaseWork | None, row: Row
) -> list[Row]:
    """Return one row per stage of the layer in `row`, with its share of the work and of the time.

    Stages were timed inside executions of the whole, so that their times add up to it.
    """
    if row["status"] != "ok" or work is None:
        return []
    rows = []
    for stage, part in work.stages.items():
        values = [outcome.stages[stage] for outcome in outcomes if stage in outcome.stages]
        if not values:
            continue
        summary = summarize(values)
        achieved = rates(
            summary.median_s,
            part,
            outcomes[0].limits,
            cached=_cached(work, device, outcomes[0]),
        )
        rows.append(
            {
                **row,
                "stage": stage,
                **_size_columns(part),
                **_time_columns(summary),
                **_rate_columns(achieved),
                "samples": sum(map(len, values)),
                "rounds": len(values),
                "round_medians_s": " ".join(f"{value:.9g}" for value in summary.rounds_s),
                "warmups": 0,
                "stop_reason": "stages",
                **{sensor.name: None for sensor in SENSORS},
                "warnings": "; ".join(_warnings(achieved, summary)) or None,
            }
        )
    return rows


def _time_columns(summary: Summary) -> Row:
    return {
        "time_median_s": summary.median_s,
        "time_mean_s": summary.mean_s,
        "time_stdev_s": summary.stdev_s,
        "ci_low_s": summary.ci_low_s,
        "ci_high_s": summary.ci_high_s,
        "drift": summary.drift,
    }


def _rate_columns(achieved: Rates) -> Row:
    return {
        "achieved_tflops": achieved.achieved_tflops,
        "achieved_gbps": achieved.achieved_gbps,
        "weights_gbps": achieved.weights_gbps,
        "tokens_per_s": achieved.tokens_per_s,
        "utilization": achieved.utilization,
        "utilization_of_ceiling": achieved.utilization_of_ceiling,
        "roofline_bound": achieved.roofline_bound,
        "roofline_fraction": achieved.roofline_fraction,
    }


def _cached(work: CaseWork, device: Device, outcome: Outcome) -> bool:
    """Return whether operands can have stayed in the last-level cache between executions."""
    cycled = max(outcome.flush_bytes or 0, work.memory_bytes)
    return device.cache_bytes is not None and cycled < 2 * device.cache_bytes


def _warnings(achieved: Rates, summary: Summary) -> list[str]:
    warnings = list(achieved.warnings)
    above = achieved.utilization_of_ceiling
    if above is not None and above > TOLERATED_EXCESS:
        warnings.append(f"{above - 1:.0%} above the ceiling: re-run bench ceiling")
    half_width = summary.half_width
    if half_width is None:
        warnings.append("one round of fewer than six samples: no interval")
    elif half_width > TOO_NOISY:
        warnings.append(f"too noisy: half of the interval is {half_width:.0%} of the median")
    if len(summary.rounds_s) == 1 and half_width is not None:
        warnings.append("one round: the interval does not cover what another visit would show")
    if summary.drift is not None and abs(summary.drift) > NOTABLE_DRIFT:
        change = "slower" if summary.drift > 0 else "faster"
        warnings.append(f"became {abs(summary.drift):.0%} {change} while it was measured")
    return warnings


def _disturbances(readings: Sequence[Telemetry]) -> list[str]:
    """Return warnings about other processes, memory errors, and sensors that cannot be read."""
    others = BY_NAME["other_processes"].combined(reading.other_processes for reading in readings)
    errors = BY_NAME["ecc_errors"].combined(reading.ecc_errors for reading in readings)
    disturbances = list(dict.fromkeys(reading.remark for reading in readings if reading.remark))
    if others:
        disturbances.append(f"{others} other process{'es' * (others > 1)} used the device")
    if errors:
        disturbances.append(f"{errors} uncorrected memory error{'s' * (errors > 1)} (ECC)")
    return disturbances


def _mostly(values: Sequence[bool | None]) -> bool | None:
    """Return whether most of the known values are true, None where there are none."""
    known = [value for value in values if value is not None]
    return 2 * sum(known) > len(known) if known else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
