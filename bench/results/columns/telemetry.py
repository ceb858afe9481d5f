"""Readings of the device's sensors; a field of the same name in bench.backend.Telemetry fills each.

`combine` says how the readings of several visits become one.
"""

from __future__ import annotations

from bench.results.columns.column import Column, group

TELEMETRY = group(
    "telemetry",
    Column("power_w", "number", "median power while sampling", unit="W", minimum=0),
    Column("energy_j", "number", "energy of one execution", unit="J", minimum=0),
    Column("clock_mhz", "number", "median clock while sampling", unit="MHz", minimum=0),
    Column(
        "memory_clock_mhz",
        "number",
        "median clock of the memory while sampling",
        unit="MHz",
        minimum=0,
    ),
    Column(
        "temperature_c",
        "number",
        "temperature while sampling",
        unit="°C",
        minimum=-273.15,
        combine="maximum",
    ),
    Column("busy", "number", "share of the time that any kernel ran, by the driver", minimum=0),
    Column(
        "memory_busy",
        "number",
        "share of the time that memory was read or written, by the driver",
        minimum=0,
    ),
    Column("throttle", "text", "reasons for a lowered clock", combine="texts"),
    Column(
        "memory_peak_bytes",
        "integer",
        "most device memory in use",
        unit="B",
        minimum=0,
        combine="maximum",
    ),
    Column(
        "ecc_errors",
        "integer",
        "memory errors while sampling that were not corrected",
        minimum=0,
        combine="sum",
    ),
    Column(
        "other_processes",
        "integer",
        "processes of others that were using the device",
        minimum=0,
        combine="maximum",
    ),
    Column(
        "device_state",
        "text",
        "settings of the device, such as ECC, persistence and MIG",
        combine="texts",
    ),
)
