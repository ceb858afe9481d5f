"""Counters of the kernel before and after: energy, and how long a quota has stopped this process."""

from __future__ import annotations

import pytest

from backends.cpu.backend import CpuTelemetry


@pytest.fixture
def counters(tmp_path):
    """Writes what the kernel says: throttling in µs, and the energy of one package in µJ."""
    group, package = tmp_path / "sys/fs/cgroup", tmp_path / "sys/class/powercap/intel-rapl:0"
    for folder in (tmp_path / "proc/self", group, package):
        folder.mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (group / "cpu.max").write_text("150000 100000\n")

    def write(throttled_us, energy_uj):
        (group / "cpu.stat").write_text(f"nr_throttled 1\nthrottled_usec {throttled_us}\n")
        (package / "energy_uj").write_text(f"{energy_uj}\n")

    write.root = tmp_path
    return write


def test_throttling_is_a_warning(counters):
    telemetry = CpuTelemetry("bound", counters.root)
    counters(5_000_000, 10_000_000)
    telemetry.start()
    counters(3_605_000_000, 12_500_000)  # stopped for an hour, however long the test takes
    readings = telemetry.stop()
    assert readings.energy_j == 2.5
    assert readings.remark == (
        "bound; throttled by a quota of 1.5 CPUs: rates hold between stops, and longer work is slower"
    )


def test_a_quota_that_was_not_exhausted_is_none(counters):
    telemetry = CpuTelemetry(None, counters.root)
    counters(5_000_000, 10_000_000)
    telemetry.start()
    counters(5_000_000, 9_000_000)  # and the energy counter wrapped around
    readings = telemetry.stop()
    assert (readings.remark, readings.energy_j, readings.power_w) == (None, None, None)


def test_no_quota(tmp_path):
    telemetry = CpuTelemetry(None, tmp_path)
    telemetry.start()
    assert telemetry.stop().remark is None
