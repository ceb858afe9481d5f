"""Environments that bind OpenMP's threads, in workers as `bench` starts them."""

from __future__ import annotations

import csv

import pytest

from backends.cpu.topology import cpu_topology
from bench.processors import PROCESSORS

CONFIG = """
measurement: {precision: 0.9, time_budget_s: 0.05}
kernels: [{kernel: matmul, dtype: float32, m: 64, n: 64, k: 64}]
"""
FIRST = min(PROCESSORS)

several = pytest.mark.skipif(
    cpu_topology().usable_cores < 2 or len(PROCESSORS) < 2, reason="needs two cores"
)


def measure(bench, variables):
    bench.write("c.yaml", CONFIG)
    bench.environment.pop("OMP_NUM_THREADS", None)
    bench.environment |= variables
    bench("run", "c.yaml", "--backend", "cpu", "-o", "r.csv")
    with (bench.folder / "r.csv").open(newline="", encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    return row


@several
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OMP_PROC_BIND": "close"},
        {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"},
        {"OMP_PROC_BIND": "master"},
        {"OMP_PLACES": "threads"},
        {"GOMP_CPU_AFFINITY": " ".join(map(str, sorted(PROCESSORS)))},
    ],
)
def test_threads_on_all_cores_whatever_binds_them(bench, variables):
    row = measure(bench, variables)
    assert row["threads"] == str(cpu_topology().usable_cores)
    assert "binds" not in row["warnings"]


@several
@pytest.mark.parametrize("variable", ["GOMP_CPU_AFFINITY", "OMP_PLACES"])
def test_threads_bound_to_one_processor_have_a_warning(bench, variable):
    value = str(FIRST) if variable == "GOMP_CPU_AFFINITY" else f"{{{FIRST}}}"
    row = measure(bench, {variable: value})
    assert row["threads"] == "1"
    assert (
        f"{variable}={value} binds all threads to 1 of {len(PROCESSORS)} processors"
        in row["warnings"]
    )
