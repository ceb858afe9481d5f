"""DCMI and the sampler on a stand-in library: what a chip says, and what happens when it does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.ascend.chip import ChipProcess, ChipReading
from backends.ascend.telemetry import logic_id, others, summarize

SOURCE = Path(__file__).parents[2] / "simulators" / "dcmi" / "dcmi.c"
COMPILE = ("gcc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-O1")

READ = """
from backends.ascend.dcmi import Dcmi
dcmi = Dcmi()
result = [dcmi.unavailable(), dcmi.driver_version(), [asdict(chip) for chip in dcmi.chips()]]
"""

WATCH = """
import time
from backends.ascend.telemetry import NpuSampler
sampler = NpuSampler(0)
sampler.start()
deadline = time.monotonic() + 20
while sampler._chip and len(sampler._readings) < 3 and time.monotonic() < deadline:
    time.sleep(0.01)
result = asdict(sampler.stop())
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """Folders with the library of a driver of today, and of an old one."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not there to build the stand-in for libdcmi.so")
    folders = {}
    for name, flags in (("new", []), ("old", ["-DWITHOUT_FREQUENCY"])):
        folder = tmp_path_factory.mktemp(name)
        command = [*COMPILE, *flags, str(SOURCE), "-o", str(folder / "libdcmi.so")]
        subprocess.run(command, check=True)
        folders[name] = folder
    return folders


@pytest.fixture
def play(libraries, tmp_path):
    """Run a script of this project's code on a scenario, in a process that loads the library anew."""

    def run(script: str, scenario: str = "", library: str | None = "new", **more: str):
        code = f"import json\nfrom dataclasses import asdict\n{script}\nprint(json.dumps(result))"
        environment = {**os.environ, "DCMI_SCENARIO": scenario, **more}
        # No program of this name is on the machines that run tests.
        environment["PATH"] = str(tmp_path)
        if library is not None:
            environment["LD_LIBRARY_PATH"] = str(libraries[library])
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_a_chip(play):
    scenario = "power=3312;temperature=66;aicore=97;clock=1650;bandwidth=41;processes=2;health=1"
    reason, driver, (chip,) = play(READ, scenario)
    assert reason is None
    assert driver == "25.2.1"
    assert chip["power_w"] == pytest.approx(331.2)
    assert (chip["temperature_c"], chip["aicore_percent"]) == (66, 97)
    assert (chip["clock_mhz"], chip["rated_clock_mhz"]) == (1650, 1800)
    assert (chip["hbm_used_bytes"], chip["hbm_total_bytes"]) == (3373 << 20, 65536 << 20)
    assert chip["hbm_bandwidth_percent"] == 41
    assert (chip["name"], chip["health"]) == ("910B2", "Warning")
    assert [process["pid"] for process in chip["processes"]] == [1000, 1001]


def test_two_dies_a_card(play):
    _, _, chips = play(READ, "cards=2;chips=2")
    places = [(chip["npu"], chip["chip"], chip["logic_id"]) for chip in chips]
    assert places == [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3)]


def test_what_a_driver_lacks_or_refuses_is_unknown(play):
    _, _, (chip,) = play(READ, library="old")
    assert chip["clock_mhz"] is None
    assert chip["temperature_c"] == 46
    refused = "dcmi_get_device_power_info=-8255;dcmi_get_device_hbm_info=-8013"
    _, _, (chip,) = play(READ, refused + ";dcmi_get_device_resource_info=-8002")
    names = ("power_w", "hbm_total_bytes", "hbm_used_bytes", "hbm_bandwidth_percent", "processes")
    assert [chip[name] for name in names] == [None] * 5
    _, _, (chip,) = play(READ, "temperature=32765;power=2147483647;aicore=4294967295;clock=0")
    names = ("temperature_c", "power_w", "aicore_percent", "clock_mhz")
    assert [chip[name] for name in names] == [None] * 4


def test_reasons(play):
    reason, _, chips = play(READ, "dcmi_init=-8020")
    assert "another container" in reason
    assert chips == []
    assert play(READ, "cards=0")[0] == "libdcmi.so shows no card"
    assert "-8002" in play(READ, "dcmi_get_card_list=-8002")[0]


def test_the_sampler_takes_medians(play):
    seen = play(WATCH, "power=3000;temperature=60;aicore=99;clock=1800;bandwidth=20;processes=1")
    assert seen["power_w"] == 300
    assert seen["energy_j"] > 0
    assert (seen["clock_mhz"], seen["temperature_c"]) == (1800, 60)
    assert (seen["busy"], seen["memory_busy"]) == (0.99, 0.2)
    assert seen["other_processes"] == 0, "the one that is listed, by the host's id, is this one"
    assert seen["throttle"] is None
    assert seen["remark"] is None


def test_a_chip_below_its_rated_clock_was_slowed_down(play):
    assert "1800" in play(WATCH, "aicore=99;clock=1500")["throttle"]
    assert play(WATCH, "aicore=0;clock=800")["throttle"] is None, "idle chips sleep"


def test_the_power_of_a_card_is_not_that_of_a_die(play):
    seen = play(WATCH, "chips=2;aicore=90;aicore.1=0;power=4000;power.1=2147483647")
    assert seen["power_w"] is None
    assert seen["energy_j"] is None
    assert "other die was not measured" in seen["remark"]


@pytest.mark.parametrize("die", ["0", "1"])
def test_dies_that_are_measured_together_share_the_power_of_the_card(play, die):
    scenario = "chips=2;aicore=90;aicore.1=80;power=4000;power.1=2147483647"
    seen = play(WATCH, scenario, ASCEND_RT_VISIBLE_DEVICES=die)
    assert seen["power_w"] == 200
    assert seen["energy_j"] > 0
    assert "divided by its 2 dies" in seen["remark"]


def test_in_a_container_one_of_the_processes_is_this_one(play):
    assert play(WATCH, "processes=3")["other_processes"] == 2
    assert play(WATCH, "processes=0")["other_processes"] is None


def test_a_chip_that_is_not_shown(play):
    seen = play(WATCH, ASCEND_RT_VISIBLE_DEVICES="5")
    assert "knows no chip 5; it has 0" in seen["remark"]


def test_without_library_and_program_the_reason_is_told(play):
    seen = play(WATCH, library=None)
    assert "libdcmi.so" in seen["remark"]
    assert "npu-smi is not on the PATH" in seen["remark"]
    assert seen["power_w"] is None


def test_where_the_library_is_refused_the_program_is_asked(play, tmp_path):
    data = Path(__file__).parents[2] / "data" / "npu-smi"
    program = tmp_path / "npu-smi"
    program.write_text(
        f'#!/bin/sh\n[ "$2 $3" = "-t common" ] && exec /bin/cat {data}/topic-common-910.txt\n'
        f"exec /bin/cat {data}/24.1.rc3-910B1.txt\n"
    )
    program.chmod(0o755)
    seen = play(WATCH.replace("< 3", "< 1"), "dcmi_init=-8013")
    assert (seen["power_w"], seen["clock_mhz"]) == (298.6, 100)


def test_visible_devices_are_counted_anew():
    assert logic_id(1, {}) == 1
    assert logic_id(1, {"ASCEND_RT_VISIBLE_DEVICES": "4,6"}) == 6
    assert logic_id(3, {"ASCEND_RT_VISIBLE_DEVICES": "4,6"}) == 3


def test_others_are_those_besides_us():
    chip = ChipReading(0, 0, processes=(ChipProcess(1), ChipProcess(2), ChipProcess(2)))
    assert others(chip, {1}) == 1
    assert others(ChipReading(0, 0), {1}) is None


def test_workers_of_the_same_run_are_no_others():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as sibling:
        code = "from backends.sensors import own_pids; print(*own_pids())"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert str(sibling.pid) in done.stdout.split()


numbers = st.none() | st.floats(1, 150)


@given(st.lists(st.tuples(st.floats(0, 1e6), numbers, numbers, numbers), max_size=8))
def test_medians_lie_within_what_was_read(values):
    readings = [
        (float(at), ChipReading(0, 0, power_w=power, clock_mhz=clock, temperature_c=heat))
        for at, (_, power, clock, heat) in enumerate(values)
    ]
    seen = summarize(readings)
    for told, name in ((seen.power_w, "power_w"), (seen.clock_mhz, "clock_mhz")):
        known = [value for _, r in readings if (value := getattr(r, name)) is not None]
        assert told is None if not known else min(known) <= told <= max(known)
    known = [r.power_w for _, r in readings if r.power_w is not None]
    assert (seen.energy_j is None) == (len(known) < 2)
