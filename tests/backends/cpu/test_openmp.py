"""Environments that bind OpenMP's threads or limit their number, each in a process of its own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest

from backends.cpu.openmp import threads_chosen
from backends.cpu.topology import cpu_topology
from bench.processors import BINDING, PROCESSORS

CONFIG = """
measurement: {precision: 0.9, time_budget_s: 0.05}
kernels: [{kernel: matmul, dtype: float32, m: 64, n: 64, k: 64}]
"""
FIRST = min(PROCESSORS)
ABSENT = max(PROCESSORS) + 1
CORES = cpu_topology().usable_cores

# As a worker starts; OpenMP's own entry for `#pragma omp parallel` counts the threads that really come.
DESCRIBE = """
import bench.processors, ctypes, json
from backends.cpu.backend import CpuBackend
from backends.cpu.openmp import loaded_openmp
backend = CpuBackend()
(device,) = backend.devices()
openmp = ctypes.CDLL(str(loaded_openmp()))
came = set()
@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def region(_):
    came.add(openmp.omp_get_thread_num())
openmp.GOMP_parallel(region, None, 0, 0)
telemetry = backend.telemetry(device)
telemetry.start()
print(json.dumps([device.threads, len(came), telemetry.stop().remark or ""]))
"""

several = pytest.mark.skipif(
    sys.platform != "linux" or CORES < 2 or len(PROCESSORS) < 2, reason="needs two cores on Linux"
)


def describe(variables):
    """Start the backend: its number of threads, how many there are, and its warning."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "GOMP_", "KMP_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE], env=kept | variables, capture_output=True, check=True
    )
    return json.loads(done.stdout)


@several
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"},
        {"OMP_PROC_BIND": "master"},
        {"OMP_PLACES": "threads"},
        {"GOMP_CPU_AFFINITY": " ".join(map(str, sorted(PROCESSORS)))},
        {"KMP_AFFINITY": "granularity=fine,compact,1,0"},
        {"OMP_DYNAMIC": "true", "OMP_MAX_ACTIVE_LEVELS": "0"},
        {"OMP_NUM_THREADS": ""},
    ],
    ids=str,
)
def test_all_cores_whatever_the_environment(variables):
    threads, came, warning = describe(variables)
    assert threads == came == CORES
    assert "binds" not in warning


@several
@pytest.mark.parametrize(
    ("variables", "bound"),
    [
        ({"GOMP_CPU_AFFINITY": str(FIRST)}, 1),
        ({"OMP_PROC_BIND": "close", "OMP_PLACES": f"{{{FIRST}}}"}, 1),
        # With more than one thread, libgomp ends the process: "Thread creation failed".
        ({"GOMP_CPU_AFFINITY": str(ABSENT)}, 0),
        ({"OMP_THREAD_LIMIT": "1"}, None),
        ({"OMP_NUM_THREADS": "1"}, None),
    ],
    ids=str,
)
def test_one_thread_where_there_can_be_no_more(variables, bound):
    threads, came, warning = describe(variables)
    assert threads == came == 1
    named = ", ".join(f"{name}={variables[name]}" for name in BINDING if name in variables)
    expected = f"{named} binds all threads to {bound} of {len(PROCESSORS)} processors"
    assert (expected in warning) is (bound is not None)


@several
def test_a_run_has_the_threads_and_the_warning(bench):
    bench.write("c.yaml", CONFIG)
    bench.environment.pop("OMP_NUM_THREADS", None)
    for variable, value, threads in (
        ("OMP_PROC_BIND", "close", CORES),
        ("OMP_PLACES", f"{{{FIRST}}}", 1),
    ):
        bench.environment[variable] = value
        bench("run", "c.yaml", "--backend", "cpu", "-o", "r.csv", "--force")
        with (bench.folder / "r.csv").open(newline="", encoding="utf-8-sig") as file:
            (row,) = csv.DictReader(file)
        assert row["threads"] == str(threads)
        assert ("binds all threads" in row["warnings"]) is (threads == 1)


@pytest.mark.parametrize(
    ("value", "chosen"),
    [("2", True), (" 02", True), ("4,2", True), ("", False), ("0", False), ("all", False)],
)
def test_numbers_of_threads_that_libraries_take(monkeypatch, value, chosen):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads_chosen() is chosen
