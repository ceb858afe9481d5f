"""ROCm's telemetry on a stand-in for the module amdsmi, and what a ROCm build of torch can do."""

from __future__ import annotations

import os
import sys
import time
import types
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from backends.cuda import amdsmi_sampler
from backends.cuda.amdsmi_sampler import AmdSampler, bdf, driver_version
from backends.cuda.backend import CudaBackend, CudaTelemetry
from bench.backend import Device

FOLDER = Path(__file__).parents[2] / "simulators" / "amdsmi"
ADDRESS = "0000:0c:00.0"

MI300X = {
    "power_info": [
        {"current_socket_power": 150, "average_socket_power": "N/A"},
        {"current_socket_power": 750, "average_socket_power": "N/A"},
    ],
    "gpu_activity": [{"gfx_activity": 100, "umc_activity": 40, "mm_activity": "N/A"}],
    "clock_info.SYS": [{"clk": 2100, "min_clk": 132, "max_clk": 2100}, {"clk": 1300}],
    "clock_info.MEM": [{"clk": 1300, "min_clk": 900, "max_clk": 1300}],
    "temp_metric.HOTSPOT": [66],
    "energy_count": [
        {"energy_accumulator": 1_000_000, "counter_resolution": 15.3, "timestamp": 1},
        {"energy_accumulator": 21_000_000, "counter_resolution": 15.3, "timestamp": 2},
    ],
    "violation_status": [
        {"acc_ppt_pwr": 7, "acc_socket_thrm": 3, "acc_hbm_thrm": "N/A"},
        {"acc_ppt_pwr": 90, "acc_socket_thrm": 3, "acc_hbm_thrm": "N/A"},
    ],
    "gpu_total_ecc_count": [{"correctable_count": 9, "uncorrectable_count": 1}],
    "gpu_process_list": [[{"name": "python", "pid": os.getpid()}, {"name": "N/A", "pid": 1}]],
    "gpu_compute_partition": ["SPX"],
    "gpu_memory_partition": ["NPS1"],
    "gpu_driver_info": [{"driver_name": "amdgpu", "driver_version": "6.14.14"}],
}


@pytest.fixture
def smi(monkeypatch):
    """Return the stand-in as the module that is found."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "amdsmi", raising=False)
    module = amdsmi_sampler.load()
    assert Path(module.__file__).parent == FOLDER
    yield module
    assert module.initialised == 0
    sys.modules.pop("amdsmi")


def watched(readings=6):
    """Return what a sampler says after so many readings."""
    sampler = AmdSampler(ADDRESS)
    sampler.start()
    deadline = time.monotonic() + 20
    while sampler._gpu and len(sampler._watch.readings) < readings:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return sampler.stop()


def test_telemetry(smi):
    smi.played.update({name: list(answers) for name, answers in MI300X.items()})
    seen = watched()
    assert seen.power_w == 750
    assert seen.energy_j == pytest.approx(20e6 * 15.3e-6)
    assert (seen.clock_mhz, seen.memory_clock_mhz, seen.temperature_c) == (1300, 1300, 66)
    assert (seen.busy, seen.memory_busy) == (1.0, 0.4)
    assert seen.throttle == "power cap"
    assert (seen.ecc_errors, seen.other_processes) == (0, 1)
    assert seen.device_state == "SPX; NPS1"
    assert seen.remark is None
    assert driver_version(ADDRESS) == "6.14.14"


def test_readings_that_no_gpu_has_are_unknown(smi):
    huge = 65535
    smi.played.update(
        power_info=[{"current_socket_power": huge, "average_socket_power": huge}],
        gpu_activity=[{"gfx_activity": huge, "umc_activity": huge}],
        energy_count=[
            {"energy_accumulator": 2**64 - 1, "counter_resolution": 15.3},
            {"energy_accumulator": 1000, "counter_resolution": 15.3},
        ],
    )
    smi.played["clock_info.SYS"] = [{"clk": huge}]
    seen = watched()
    names = ("power_w", "energy_j", "busy", "memory_busy", "clock_mhz")
    assert [getattr(seen, name) for name in names] == [None] * 5
    smi.played["power_info"] = [{"current_socket_power": huge, "average_socket_power": 94}]
    assert watched().power_w == 94


def test_sensors_of_older_cards(smi):
    """MI200: an average power, no counters of violations, the older name of a clock."""
    smi.played.update(
        {
            "power_info": [{"current_socket_power": "N/A", "average_socket_power": 90}],
            "clock_info.SYS": [{"cur_clk": 1700, "max_clk": 1700}],
            "temp_metric.HOTSPOT": [smi.AmdSmiLibraryException(smi.NOT_SUPPORTED)],
            "temp_metric.EDGE": [41],
        }
    )
    seen = watched()
    assert (seen.power_w, seen.clock_mhz, seen.temperature_c) == (90, 1700, 41)
    assert seen.throttle is seen.busy is seen.other_processes is seen.ecc_errors is None
    assert seen.energy_j > 0  # power integrated over the readings


def test_a_card_without_any_sensor_is_unknown_and_not_zero(smi):
    smi.played.clear()
    assert set(asdict(watched()).values()) == {None}
    assert driver_version(ADDRESS) is None


def test_why_there_is_no_telemetry(smi):
    smi.played.clear()
    assert "does not report the GPU's PCI address" in AmdSampler(None).stop().remark
    elsewhere = AmdSampler("0000:ff:00.0")
    elsewhere.start()
    assert "no telemetry: amdsmi: Error code: 31" in elsewhere.stop().remark
    smi.played["init"] = [smi.AmdSmiLibraryException(34)]
    refused = AmdSampler(ADDRESS)
    refused.start()
    assert "Error code: 34" in refused.stop().remark
    assert driver_version(ADDRESS) is None


def test_without_amdsmi_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    # As the real module does where the library beneath is not installed.
    (tmp_path / "amdsmi.py").write_text(
        "print('Unable to find libamd_smi.so')\n{}['libamd_smi.so']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "amdsmi", raising=False)
    sampler = AmdSampler(ADDRESS)
    sampler.start()
    assert "pip install /opt/rocm/share/amd_smi" in sampler.stop().remark


def test_a_pci_address_from_torchs_properties():
    properties = types.SimpleNamespace(pci_domain_id=0, pci_bus_id=12, pci_device_id=0)
    assert bdf(properties) == ADDRESS
    assert bdf(types.SimpleNamespace(pci_bus_id=12)) is None


@pytest.fixture
def rocm(monkeypatch):
    """Return torch's properties of a GPU as a ROCm build reports them; changeable."""
    properties = types.SimpleNamespace(
        name="AMD Instinct MI300X",
        gcnArchName="gfx942:sramecc+:xnack-",
        total_memory=192 << 30,
        L2_cache_size=4 << 20,
        pci_domain_id=0,
        pci_bus_id=12,
        pci_device_id=0,
    )
    monkeypatch.setattr(torch.version, "hip", "7.0.1")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda index: 123)
    return properties


def test_a_rocm_device(smi, rocm):
    smi.played.update({name: list(answers) for name, answers in MI300X.items()})
    (device,) = CudaBackend().devices()
    assert (device.chip, device.runtime, device.driver) == ("mi300x", "ROCm 7.0.1", "6.14.14")
    telemetry = CudaTelemetry(0)
    telemetry.start()
    seen = telemetry.stop()
    assert seen.device_state == "SPX; NPS1"
    assert seen.memory_peak_bytes == 123


@pytest.mark.parametrize(
    ("target", "dtype", "allowed", "reason"),
    [
        ("gfx942", "bfloat16", None, None),
        ("gfx942", "float8_e4m3", None, "fnuz"),
        ("gfx950", "float8_e4m3", None, None),
        ("gfx90a", "float8_e4m3", None, "gfx90a does not multiply float8_e4m3"),
        ("gfx942", "tf32", None, "HIPBLASLT_ALLOW_TF32=1"),
        ("gfx942", "tf32", "1", None),
        ("gfx950", "tf32", "1", "gfx950 does not multiply tf32"),
    ],
)
def test_dtypes_of_rocm(rocm, monkeypatch, target, dtype, allowed, reason):
    rocm.gcnArchName = f"{target}:sramecc+"
    monkeypatch.delenv("HIPBLASLT_ALLOW_TF32", raising=False)
    if allowed:
        monkeypatch.setenv("HIPBLASLT_ALLOW_TF32", allowed)
    said = CudaBackend().dtype_unsupported(dtype, Device(index=0, name="test", chip="test"))
    assert said is reason is None or reason in said
