"""The real pynvml on top of a stand-in driver: what a GPU says, and what happens when it does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.cuda.nvml import ADVICE
from backends.cuda.nvml_sampler import THROTTLE_REASONS, reasons
from backends.sensors import Reading, count_others, integrated_j, summarize
from tests.simulators.nvml.player import Player, driver_environment

UUID = "GPU-11111111-2222-3333-4444-555555555555"

H100 = f"""
nvmlSystemGetDriverVersion 0 550.54.15
nvmlDeviceGetUUID 0 {UUID}
nvmlDeviceGetName 0 NVIDIA H100 80GB HBM3
nvmlDeviceGetFieldValues.186 0 300000 700000
nvmlDeviceGetPowerUsage 0 90000 120000 330000
nvmlDeviceGetCudaComputeCapability 0 9
nvmlDeviceGetCudaComputeCapability.1 0 0
nvmlDeviceGetTotalEnergyConsumption 0 1000000 1350000
nvmlDeviceGetClockInfo.1 0 1980 1410 1410 1410
nvmlDeviceGetClockInfo.2 0 2619
nvmlDeviceGetTemperature 0 41 66 67
nvmlDeviceGetUtilizationRates 0 99 100 100 100
nvmlDeviceGetUtilizationRates.1 0 30 40 40 40
nvmlDeviceGetCurrentClocksEventReasons 0 0x1 0x4 0x24 0x4
nvmlDeviceGetPersistenceMode 0 1
nvmlDeviceGetEccMode 0 1
nvmlDeviceGetMigMode 0 0
nvmlDeviceGetTotalEccErrors 0 3
nvmlDeviceGetComputeRunningProcesses 0 self
nvmlDeviceGetMaxClockInfo.1 0 1980
nvmlDeviceGetMaxClockInfo.2 0 2619
nvmlDeviceGetMemoryBusWidth 0 5120
"""

WATCH = f"""
import time
from dataclasses import asdict
from backends.cuda.nvml_sampler import NvmlSampler
sampler = NvmlSampler({UUID!r})
sampler.start()
deadline = time.monotonic() + 20
while sampler._watch and len(sampler._watch.readings) < 6 and sampler._watch._thread.is_alive():
    assert time.monotonic() < deadline
    time.sleep(0.01)
result = asdict(sampler.stop())
"""

INSPECT = f"""
from backends.cuda import nvml
with nvml.session():
    gpu = nvml.NvidiaGpu({UUID!r})
    result = [gpu.state(), gpu.max_clock_mhz(), gpu.peak_gbps(), gpu.other_processes()]
"""


@pytest.fixture(scope="module")
def player(nvml_library, tmp_path_factory):
    player = Player(nvml_library, tmp_path_factory.mktemp("scenario") / "scenario")
    yield player
    player.close()


def changed(*lines: str) -> str:
    """Return the H100 with some lines in place of those of the same function and device."""
    keys = {tuple(line.split()[:2]) for line in lines}
    kept = [line for line in H100.splitlines() if tuple(line.split()[:2]) not in keys]
    return "\n".join([*kept, *lines, ""])


def test_telemetry(player):
    seen = player.play(H100, WATCH)
    assert seen["power_w"] == 700
    # Six readings and the last; five gaps of the interval at least.
    assert 650 * 5 * 0.05 * 0.99 < seen["energy_j"] < 700 * 20
    assert seen["clock_mhz"] == 1410
    assert seen["memory_clock_mhz"] == 2619
    assert seen["temperature_c"] == 67
    assert seen["busy"] == 1.0
    assert seen["memory_busy"] == 0.4
    assert seen["throttle"] == "power cap; thermal (software)"
    assert seen["other_processes"] == 0
    assert seen["ecc_errors"] == 0
    assert seen["device_state"] == "ECC on; persistence on; MIG off"
    assert seen["remark"] is None


def test_energy_is_integrated_where_there_is_no_counter(player):
    without = "nvmlDeviceGetTotalEnergyConsumption 0 !3"
    seen = player.play(changed(without, "nvmlDeviceGetFieldValues.186 0 500000"), WATCH)
    assert 500 * 5 * 0.05 * 0.99 < seen["energy_j"] < 500 * 20


def test_an_older_driver_knows_the_reasons_by_their_older_name(player):
    older = changed(
        "nvmlDeviceGetCurrentClocksEventReasons 0 !13",
        "nvmlDeviceGetCurrentClocksThrottleReasons 0 0x80",
    )
    assert player.play(older, WATCH)["throttle"] == "power brake"


@pytest.mark.parametrize("calls", [0, 3, 12, 40])
def test_a_lost_device_ends_the_watch(player, calls):
    with pytest.raises(RuntimeError, match="DeviceLost: NVML: the GPU has fallen off the bus"):
        player.play(H100 + f"lost 0 {calls}\n", WATCH)
    # NVML is left as it was found: the next scenario is read.
    assert player.play(H100, WATCH)["power_w"] == 700


def test_a_gpu_that_needs_a_reset_is_lost_too(player):
    with pytest.raises(RuntimeError, match="DeviceLost: NVML: the GPU has to be reset"):
        player.play(changed("nvmlDeviceGetTemperature 0 41 41 !16"), WATCH)


def test_other_processes_and_memory_errors(player):
    scenario = changed(
        "nvmlDeviceGetComputeRunningProcesses 0 self 2000001 2000002",
        "nvmlDeviceGetTotalEccErrors 0 3 5",
    )
    seen = player.play(scenario, WATCH)
    assert seen["other_processes"] == 2
    assert seen["ecc_errors"] == 2


def test_no_sensor_at_all_is_unknown_and_not_zero(player):
    seen = player.play(f"nvmlDeviceGetUUID 0 {UUID}\n", WATCH)
    assert set(seen.values()) == {None}


def test_readings_that_no_gpu_has_are_unknown(player):
    scenario = (
        f"nvmlDeviceGetUUID 0 {UUID}\nnvmlDeviceGetPowerUsage 0 3700000000\n"
        "nvmlDeviceGetTemperature.0 0 510\nnvmlDeviceGetTotalEnergyConsumption 0 5 1000000000000\n"
    )
    seen = player.play(scenario, WATCH)
    assert [seen[name] for name in ("power_w", "energy_j", "temperature_c")] == [None] * 3
    seen = player.play(
        changed("nvmlDeviceGetFieldValues.186 0 0", "nvmlDeviceGetTemperature 0 0"), WATCH
    )
    assert (seen["power_w"], seen["temperature_c"]) == (None, None)


def test_no_permission_for_a_sensor_is_unknown(player):
    functions = {line.split()[0] for line in H100.split("\n") if line.startswith("nvmlDevice")}
    refused = changed(*(f"{f} 0 !4" for f in functions - {"nvmlDeviceGetUUID"}))
    seen = player.play(refused, WATCH)
    assert set(seen.values()) == {None}


def test_no_permission_at_all_says_so(player):
    assert "no permission" in player.play(H100 + "nvmlInit 0 !4\n", WATCH)["remark"]


def test_an_unknown_device(player):
    assert "does not know" in player.play("nvmlDeviceGetUUID 0 GPU-else\n", WATCH)["remark"]


def test_what_a_gpu_is(player):
    state, clock, gbps, others = player.play(H100, INSPECT)
    assert state == "ECC on; persistence on; MIG off"
    assert clock == 1980
    assert gbps == pytest.approx(3352, abs=1)
    assert others == 0


def test_a_slice_has_clocks_but_no_power_of_its_own(player):
    board = H100.replace(UUID, "GPU-board")
    board = board.replace("nvmlDeviceGetMigMode 0 0", "nvmlDeviceGetMigMode 0 1")
    moved = board.replace(" 0 ", " 1 ")
    part = f"nvmlDeviceGetUUID 0 MIG-{UUID.removeprefix('GPU-')}\nparent 0 1\n"
    seen = player.play(moved + part, WATCH)
    assert seen["clock_mhz"] == 1410
    assert seen["temperature_c"] is not None
    assert seen["power_w"] is seen["energy_j"] is seen["busy"] is None
    assert seen["device_state"] == "ECC on; persistence on; MIG on; slice of a GPU"


def test_a_slice_whose_gpu_nvml_does_not_name_has_no_sensors(player):
    part = f"nvmlDeviceGetUUID 0 MIG-{UUID.removeprefix('GPU-')}\nparent 0 !3\n"
    seen = player.play(part + "nvmlDeviceGetTemperature 0 40\n", WATCH)
    assert seen.pop("device_state") == "slice of a GPU"
    assert set(seen.values()) == {None}


@pytest.mark.parametrize("code", ADVICE)
def test_each_error_at_the_start_has_an_advice(player, code):
    snippet = "from backends.cuda import nvml\nresult = [nvml.unavailable(), nvml.driver_version()]"
    reason, version = player.play(H100 + f"nvmlInit 0 !{code}\n", snippet)
    assert reason == f"NVML: {ADVICE[code]}"
    assert version is None


def test_any_other_error_is_in_the_drivers_words(player):
    snippet = "from backends.cuda import nvml\nresult = nvml.unavailable()"
    assert "Unknown Error" in player.play("nvmlInit 0 !999\n", snippet)


def test_a_gpu_that_is_gone_is_recognized(player):
    snippet = f"from backends.cuda import nvml\nresult = nvml.check_present({UUID!r})"
    assert player.play(H100, snippet) is None
    with pytest.raises(RuntimeError, match="fallen off the bus"):
        player.play(H100 + "lost 0 0\n", snippet)


def test_the_library_is_missing(tmp_path):
    library = tmp_path / "libnvidia-ml.so.1"
    library.write_text("not a library")
    snippet = "from backends.cuda import nvml; print(nvml.unavailable())"
    done = subprocess.run(
        [sys.executable, "-c", snippet],
        env=driver_environment(library, tmp_path / "none"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no NVIDIA driver, or a container" in done.stdout


@given(bits=st.integers(0, 2**64 - 1))
def test_reasons_are_named_once_and_idleness_is_none(bits):
    names = reasons(bits)
    assert len(set(names)) == len(names) == (bits & sum(THROTTLE_REASONS)).bit_count()
    assert reasons(0x1 | 0x2) == []


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(1, 1000)), min_size=2, max_size=30))
def test_integrated_energy_lies_between_least_and_most_power(steps):
    at_s, readings = 0.0, []
    for gap_s, power_w in steps:
        at_s += gap_s
        readings.append(Reading(at_s, power_w))
    span_s = readings[-1].at_s - readings[0].at_s
    powers = [reading.power_w for reading in readings]
    joules = integrated_j(readings)
    assert min(powers) * span_s * 0.999 - 1e-9 <= joules <= max(powers) * span_s * 1.001 + 1e-9


def test_readings_without_a_sensor_are_left_out_of_the_median():
    seen = summarize([Reading(0, 100.0), Reading(1), Reading(2, 300.0)])
    assert seen.power_w == 200
    assert seen.energy_j == 400
    assert seen.clock_mhz is None
    assert summarize([Reading(0, 5.0)]).energy_j is None


@pytest.mark.parametrize(
    ("running", "own", "others"),
    [
        ([], {1}, None),  # a driver that lists nothing: this process has a context
        ([1], {1}, 0),
        ([1, 2, 7], {1, 2}, 1),
        ([4001], {1}, 0),  # a container's host numbers: one of them is ours
        ([4001, 4002, 4003], {1}, 2),
        ([4001], {1, 2}, 0),
    ],
)
def test_others_are_not_confused_with_our_own_workers(running, own, others):
    assert count_others(running, own) == others


def test_a_process_is_not_taken_for_another(player):
    snippet = INSPECT + "\nimport os\nresult = [result[-1], os.getpid()]"
    others, pid = player.play(H100, snippet)
    assert others == 0
    assert pid != os.getpid()
