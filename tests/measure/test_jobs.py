"""Jobs: which are planned, which have a row already, and which are measured at the same time."""

from __future__ import annotations

import pytest

from bench.backend import Device
from bench.config.cases import Case
from bench.kernels.matmul import Matmul
from bench.measure.jobs import Job, JobProgress, by_case, finished_jobs, plan

CASES = [Case(Matmul(m=m, n=8, k=8, dtype="float32")) for m in (5, 6)]
DEVICES = [Device(index, f"d{index}", "chip") for index in (0, 1)]


def row(case, device=0, implementation="torch", status="ok"):
    return {
        "case_id": case.case_id,
        "device_index": device,
        "implementation": implementation,
        "status": status,
    }


@pytest.mark.parametrize(
    ("implementation", "names"),
    [("best", ["best"]), ("all", ["torch", "triton"]), ("triton", ["triton"])],
)
def test_one_job_per_device_case_and_implementation(implementation, names):
    jobs = plan(CASES, DEVICES, {"matmul": ["torch", "triton"]}, implementation)
    assert [job.key for job in jobs] == [
        (case.case_id, device.index, name) for device in DEVICES for case in CASES for name in names
    ]


def test_all_implementations_of_a_kernel_that_has_none_are_still_a_job():
    assert [job.implementation for job in plan(CASES[:1], DEVICES[:1], {}, "all")] == ["best"]


def test_a_row_finishes_the_job_of_its_case_device_and_implementation():
    case, other = CASES
    jobs = plan(CASES, DEVICES, {"matmul": ["torch", "triton"]}, "all")
    assert finished_jobs([row(case)], jobs) == {(case.case_id, 0, "torch")}
    assert finished_jobs([row(case, 1), row(other, 0, "triton")], jobs) == {
        (case.case_id, 1, "torch"),
        (other.case_id, 0, "triton"),
    }
    assert finished_jobs([], jobs) == set()


def test_any_implementation_is_enough_for_the_best():
    jobs = plan(CASES, DEVICES, {}, "best")
    assert finished_jobs([row(CASES[0], 1, "triton")], jobs) == {(CASES[0].case_id, 1, "best")}


@pytest.mark.parametrize(
    ("status", "again"),
    [
        *((status, False) for status in ("ok", "unsupported", "out_of_memory", "timeout")),
        *((status, False) for status in ("crashed", "error", "wrong_result", "wrong_timing")),
        *((status, True) for status in ("interrupted", "device_lost")),
    ],
)
def test_what_was_interrupted_or_lost_its_device_runs_again(status, again):
    jobs = plan(CASES[:1], DEVICES[:1], {}, "best")
    assert finished_jobs([row(CASES[0], status=status)], jobs) == (
        set() if again else {jobs[0].key}
    )


def test_jobs_that_differ_in_the_device_only_are_measured_together():
    jobs = [JobProgress(number, job) for number, job in enumerate(plan(CASES, DEVICES, {}, "best"))]
    batches = by_case(jobs)
    assert [[each.job.device.index for each in batch] for batch in batches] == [[0, 1], [0, 1]]
    assert [batch[0].job.case for batch in batches] == CASES
    named = [JobProgress(n, Job(CASES[0], DEVICES[0], name)) for n, name in enumerate("ab")]
    assert by_case(named) == [[named[0]], [named[1]]]
