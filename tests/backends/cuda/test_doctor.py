"""What `bench doctor` reports about GPUs, by the real pynvml on top of the stand-in driver."""

from __future__ import annotations

import pytest

from tests.simulators.nvml.player import Player

QUIET = """
nvmlDeviceGetUUID 0 GPU-11111111-2222-3333-4444-555555555555
nvmlDeviceGetPersistenceMode 0 1
nvmlDeviceGetTemperature 0 41
nvmlDeviceGetPowerManagementLimit 0 700000
nvmlDeviceGetPowerManagementDefaultLimit 0 700000
"""
DIAGNOSE = """
from dataclasses import asdict
from backends.cuda.doctor import diagnose
result = [asdict(finding) for finding in diagnose()]
"""


@pytest.fixture(scope="module")
def player(nvml_library, tmp_path_factory):
    player = Player(nvml_library, tmp_path_factory.mktemp("scenario") / "scenario")
    yield player
    player.close()


def test_a_gpu_without_remark(player):
    (found,) = player.play(QUIET, DIAGNOSE)
    assert (found["level"], found["text"]) == ("ok", "1: nothing to report")


@pytest.mark.parametrize(
    ("old", "new", "text", "mend"),
    [
        ("PersistenceMode 0 1", "PersistenceMode 0 0", "persistence mode is off", "--persistence"),
        ("0 41", "0 91", "91 °C", "nvidia-smi -i 0 -q"),
        ("PowerManagementLimit 0 700000", "PowerManagementLimit 0 400000", "400 W, 700 W", "=700"),
        ("0 41", "0 41\nnvmlDeviceGetComputeRunningProcesses 0 77 78", "77, 78", "ps -fp 77 78"),
    ],
)
def test_what_will_distort(player, old, new, text, mend):
    (found,) = player.play(QUIET.replace(old, new), DIAGNOSE)
    assert (found["level"], found["topic"]) == ("warn", "GPU 0")
    assert text in found["text"]
    assert mend in found["mend"]


def test_a_gpu_that_is_gone(player):
    (found,) = player.play(QUIET + "lost 0 0\n", DIAGNOSE)
    assert found["level"] == "fail"
    assert "fallen off the bus" in found["text"]


def test_a_driver_that_does_not_load(player):
    (found,) = player.play("nvmlInit 0 !9\n", DIAGNOSE)
    assert found["level"] == "warn"
    assert "kernel module is not loaded" in found["text"]


def test_without_a_driver_there_is_nothing_to_add(player):
    assert player.play("nvmlInit 0 !12\n", DIAGNOSE) == []
