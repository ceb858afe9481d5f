"""Cases too large to be described or allocated cost their own rows, and the run goes on."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from bench.kernels.base import Work
from bench.kernels.grouped_matmul import GroupedMatmul
from bench.kernels.matmul import Matmul
from bench.kernels.memory import Memory
from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.parts import MoeCombine, MoeDispatch, MoeGate
from bench.measure.border import WrongValue
from bench.measure.case_work import describe_case, host_bytes
from bench.measure.protocol import decode, encode, work_from_json
from tests.measure.test_faults import csv_rows

HUGE = 1 << 20
LAYER = {"hidden": 64, "intermediate": 32, "top_k": 2, "tokens": 16}
TOO_LARGE = """
description: what this machine has no room for
measurement: {precision: 0.5, time_budget_s: 0.1, rounds: 1}
kernels:
  - {kernel: matmul, dtype: float32, m: 1048576, n: 1048576, k: 1048576}
  - {kernel: memory, operation: triad, size_mib: 4194304}
  - {kernel: grouped_matmul, dtype: float32, m: 134217728, n: 8192, k: 8192, experts: 4, routing: uniform}
  - {kernel: moe_layer, dtype: bfloat16, hidden: 1048576, intermediate: 1048576, experts: 8,
     top_k: 2, tokens: 16}
  - {kernel: moe_layer, dtype: bfloat16, hidden: 1024, intermediate: 2048, experts: 1048576, top_k: 8,
     tokens: 4096, routing: power_law}
  - {kernel: matmul, dtype: float32, m: 16, n: 16, k: 16}
"""
SMALL = [
    Matmul(m=8, n=8, k=8, dtype="int8"),
    Memory(operation="read", size_mib=1),
    GroupedMatmul(m=8, n=8, k=8, experts=4, dtype="float32", routing="uniform"),
    MoeGate(hidden=8, experts=4, top_k=2, tokens=5, dtype="float32"),
    MoeDispatch(hidden=8, experts=4, top_k=2, tokens=5, dtype="float32", routing="power_law"),
    MoeCombine(hidden=8, experts=4, top_k=2, tokens=5, dtype="float32"),
    MoeLayer(**LAYER, experts=8, dtype="bfloat16"),
]


def test_what_fits_no_machine_costs_its_own_rows(bench):
    bench.write("c.yaml", TOO_LARGE)
    done = bench("run", "c.yaml", "--backend", "cpu", "-o", "r.csv", status=1)
    *large, small = csv_rows(bench.folder / "r.csv")
    assert [row["status"] for row in large] == ["out_of_memory"] * 5
    for row in large:
        assert "inputs and routing take" in row["error"]
        assert "GiB on the host" in row["error"]
    assert small["status"] == "ok"
    assert "Traceback" not in done.stderr
    assert large[0]["flops"] == str(2 * HUGE**3)
    bench("validate", "r.csv")


def test_a_config_says_beforehand_what_cannot_fit(bench):
    bench.write("c.yaml", TOO_LARGE)
    text = " ".join(bench("validate-config", "c.yaml").stdout.split())
    assert "5 of 6 cases will end as out_of_memory on this machine" in text
    assert "16 tokens balanced takes the most, 98,304.8 GiB" in text
    bench.write("small.yaml", "kernels: [{kernel: matmul, dtype: float32, m: 1, n: 1, k: 1}]")
    assert "out_of_memory" not in bench("validate-config", "small.yaml").stdout


@pytest.mark.parametrize("kernel", SMALL, ids=lambda kernel: kernel.name)
def test_the_work_of_a_case_travels(kernel):
    work = describe_case(kernel, 3)
    assert work.whole == kernel.work(3)
    assert work_from_json(decode(encode(asdict(work)))) == work


@pytest.mark.parametrize("kernel", SMALL, ids=lambda kernel: kernel.name)
def test_host_memory_covers_the_inputs(kernel):
    inputs = kernel.make_inputs(0)
    assert host_bytes(kernel) >= sum(operand.array.nbytes for operand in inputs.values())


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (Work(flops=-1, bytes=8), "-1 FLOPs and 8 bytes"),
        (Work(flops=1, bytes=0), "1 FLOPs and 0 bytes"),
        (Work(flops="many", bytes=8), "flops is 'many'; expected int"),
        (None, "returned None; expected a Work"),
    ],
)
def test_work_that_no_case_can_have(work, message):
    class Odd(Matmul):
        def work(self, seed):
            return work

    with pytest.raises(WrongValue, match=message):
        describe_case(Odd(m=1, n=1, k=1, dtype="float32"), 0)
