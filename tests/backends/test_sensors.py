"""What a sensor can read, whoever made the device."""

from __future__ import annotations

from dataclasses import fields

import pytest

from backends.sensors import BOUNDS, SENSORS, Counters, Reading, count_others, with_counters
from bench.backend import Telemetry


def test_every_sensor_has_bounds():
    assert set(SENSORS) == set(BOUNDS)
    assert {field.name for field in fields(Telemetry)} >= set(BOUNDS)


@pytest.mark.parametrize(
    ("sensor", "values"),
    [
        ("power_w", (0.0, -1.0, 65535.0, 3.7e6, float("inf"), float("nan"))),
        ("temperature_c", (0.0, 510.0, -273.0)),
        ("clock_mhz", (0.0, 65535.0)),
        ("memory_clock_mhz", (0.0, 65535.0)),
        ("busy", (655.35, -0.1)),
        ("memory_busy", (1.01,)),
    ],
)
def test_what_no_device_reads_is_unknown(sensor, values):
    assert all(getattr(Reading(0.0, **{sensor: value}), sensor) is None for value in values)
    assert getattr(Reading(0.0, **{sensor: 1.0}), sensor) == 1.0


@pytest.mark.parametrize(
    ("before", "after", "joules"),
    [
        (1000.0, 1700.0, 700.0),
        (1000.0, 1000.0, 5.0),  # it did not move: the integrated power stays
        (2.8e14, 0.015, 5.0),  # it was reset
        (1000.0, 2e6, 5.0),  # more than any device takes in a second
        (None, 1700.0, 5.0),
    ],
)
def test_a_counter_of_energy_is_believed_where_the_power_is_possible(before, after, joules):
    counters = (Counters(value, None, None, at) for value, at in ((before, 0.0), (after, 1.0)))
    assert with_counters(Telemetry(energy_j=5.0), *counters).energy_j == joules


def test_processes_whose_ids_are_those_of_the_host():
    assert count_others([5, 6], {5, 17}) == 1
    assert count_others([900, 901, 902], {17, 18, 19}, on_device=1) == 2
    assert count_others([], {17}) is None
