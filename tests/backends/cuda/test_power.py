"""Power and energy: of the moment, averaged over a second, or counted, and what a short window supports."""

from __future__ import annotations

import pytest

from backends.cuda.nvml_sampler import AVERAGED_S, LEAST_WINDOW_S, supported
from backends.sensors import Counters, Reading, summarize, with_counters
from tests.backends.cuda.test_nvml import H100, WATCH
from tests.simulators.nvml.player import Player

SHORT_S, LONG_S = 0.5, 2.5


def averaged_w(at_s: float) -> float:
    """The average of the last second after a load of 700 W began at 0, from 100 W before."""
    share = min(at_s, AVERAGED_S) / AVERAGED_S
    return 100 + 600 * share


def watched(length_s, power_w, *, instant, joules=None):
    """Return the telemetry of so many seconds, with readings every 0.05 s."""
    times = [0.05 * n for n in range(round(length_s / 0.05) + 1)]
    readings = [Reading(at_s, power_w(at_s), clock_mhz=1410.0) for at_s in times]
    before, after = (
        Counters(None if joules is None else counted, 0, 0, at_s)
        for counted, at_s in ((0.0, 0.0), (joules, length_s))
    )
    counted = with_counters(summarize(readings), before, after)
    return supported(counted, readings, instant=instant, counter=joules is not None)


def test_an_average_of_a_second_says_nothing_about_half_a_second():
    seen = watched(SHORT_S, averaged_w, instant=False)
    assert seen.power_w is seen.energy_j is None
    assert "averages it over a second, and the samples took 0.5 s" in seen.remark
    assert seen.clock_mhz == 1410, "other sensors are of the moment"


def test_averages_count_once_they_contain_the_load_only():
    seen = watched(LONG_S, averaged_w, instant=False)
    assert seen.power_w == pytest.approx(700)
    assert seen.energy_j == pytest.approx(700 * LONG_S)
    assert seen.remark is None


def test_a_counter_over_the_time_goes_before_averages():
    seen = watched(LONG_S, averaged_w, instant=False, joules=650 * LONG_S)
    assert seen.power_w == pytest.approx(650)
    assert seen.energy_j == pytest.approx(650 * LONG_S)


def test_the_counters_steps_are_too_coarse_for_a_short_window():
    # 700 W for 0.5 s are 350 J; the counter has not moved for the last 0.1 s.
    seen = watched(SHORT_S, lambda at_s: 700.0, instant=True, joules=280.0)
    assert (seen.power_w, seen.energy_j) == (700, pytest.approx(350))
    seen = watched(LONG_S, lambda at_s: 700.0, instant=True, joules=1760.0)
    assert (seen.power_w, seen.energy_j) == (700, 1760)


def test_no_power_at_all_is_no_remark():
    seen = watched(SHORT_S, lambda at_s: None, instant=False)
    assert seen.power_w is seen.energy_j is seen.remark is None


def test_which_power_a_driver_has(nvml_library, tmp_path):
    """The moment's by the field 186; without it an A100's usage is, and others' is an average."""
    player = Player(nvml_library, tmp_path / "scenario")
    without = H100.replace("nvmlDeviceGetFieldValues.186 0 300000 700000\n", "")
    a100 = without.replace("Capability 0 9", "Capability 0 8")
    ada = a100.replace("Capability.1 0 0", "Capability.1 0 9")
    try:
        for scenario, power_w in ((H100, 700), (a100, 330), (ada, None), (without, None)):
            seen = player.play(scenario, WATCH)
            assert seen["power_w"] == power_w
            assert (seen["remark"] is None) == (power_w is not None)
    finally:
        player.close()
    assert LEAST_WINDOW_S > 2 * 6 * 0.05
