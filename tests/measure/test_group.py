"""Groups of ranks: what ends one of them costs the case, and says which rank it was."""

from __future__ import annotations

import csv
import signal
import threading
import time
from dataclasses import replace

import psutil
import pytest

from bench.backend import Device
from bench.errors import UsageError
from bench.measure.discovery import devices_of_ranks
from bench.measure.group import Allocating, Ends, Unheard, places, verdict
from bench.measure.protocol import ALLOCATE, BackendDescription, Outcome

OK = Outcome("ok")
LOST = Outcome("timeout", "waited 2 s for another rank")
DIED = Outcome("crashed", "the worker died of SIGSEGV, during measure")
RAISED = Outcome("error", "ValueError: no", traceback="Traceback …")


@pytest.mark.parametrize(
    ("ended", "status", "error"),
    [
        ([(1, OK), (0, OK)], "ok", None),
        # The others notice a death before the supervisor does.
        ([(0, LOST), (2, DIED), (1, LOST)], "crashed", "rank 2: the worker died of SIGSEGV"),
        ([(1, RAISED), (0, LOST)], "error", "rank 1: ValueError: no"),
        ([(0, LOST), (2, LOST)], "timeout", "rank 1 did not answer; rank 0: waited 2 s"),
        ([(0, LOST)], "timeout", "ranks 1, 2 did not answer"),
        ([(0, LOST), (1, LOST), (2, LOST)], "timeout", "rank 0: waited 2 s for another rank"),
        ([(0, RAISED), (1, OK)], "error", "ValueError: no"),
    ],
)
def test_the_verdict_names_the_rank_that_caused_it(ended, status, error):
    outcome = verdict(ended, ranks=3)
    assert outcome.status == status
    assert (outcome.error or "").startswith(error or "")


def test_ranks_that_say_nothing_are_not_waited_for_forever():
    ends = Ends(3)
    ends.add(2, OK)
    ends.add(0, LOST)
    began = time.monotonic()
    assert ends.wait() == [(2, OK), (0, LOST)]
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("allocates", [True, False])
def test_followers_join_when_rank_0_allocates(allocates):
    allocating = Allocating(Unheard())
    joined: list[bool] = []
    follower = threading.Thread(target=lambda: joined.append(allocating.wait()))
    follower.start()
    allocating.progress("describe", [])
    if allocates:
        allocating.progress(ALLOCATE, [])
    else:
        allocating.ended()
    follower.join(10)
    assert joined == [allocates]


def test_a_rank_gives_up_before_the_visit_does():
    first, *_ = places(4, "/tmp/none", case_timeout_s=8)
    assert first.timeout_s < first.join_timeout_s == 8


CONFIG = """
measurement: {{precision: 0.2, time_budget_s: 0.1, case_timeout_s: {timeout}, rounds: {rounds}}}
kernels:
  - {{kernel: collective, operation: all_reduce, in_place: true, size_bytes: [{sizes}]}}
"""
RIGHT, WRONG, WRONG_LATER, KILLED, HUNG, RAISES, LATE = range(40, 68, 4)


def faulty(bench, *sizes, timeout=40, rounds=1):
    text = CONFIG.format(sizes=", ".join(map(str, sizes)), timeout=timeout, rounds=rounds)
    bench.write("c.yaml", text)
    return ("run", "c.yaml", "--backend", "cpu", "--implementation", "faulty", "-o", "r.csv")


def csv_rows(bench):
    with (bench.folder / "r.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_a_fault_of_one_rank_costs_the_case_and_the_next_runs(plugged):
    sizes = (WRONG, WRONG_LATER, KILLED, HUNG, RAISES, LATE, 4, RIGHT)
    done = plugged(*faulty(plugged, *sizes), "--ranks", 2, status=1)
    rows = csv_rows(plugged)
    assert [(row["status"], row["error"].split(",")[0].split(";")[0]) for row in rows] == [
        ("wrong_result", "rank 1: 1 wrong element"),
        ("wrong_result", rows[1]["error"].split(",")[0].split(";")[0]),
        ("crashed", rows[2]["error"].split(",")[0].split(";")[0]),
        ("timeout", "rank 1 did not answer"),
        ("error", "rank 1: ValueError: the link is unhappy"),
        ("ok", ""),
        ("ok", ""),
        ("ok", ""),
    ]
    assert "right before timing, wrong after it" in rows[1]["error"]
    assert rows[2]["error"].startswith("rank 1: the worker was killed (SIGKILL)")
    assert all(row["busbw_gbps"] == "" for row in rows[:5]), "no rate of what failed"
    assert "Traceback" not in done.stderr
    plugged("validate", "r.csv")


def test_an_interrupted_group_leaves_nobody_behind(plugged):
    run = plugged.start(*faulty(plugged, HUNG, timeout=90), "--ranks", 3)
    deadline = time.monotonic() + 60
    workers: list[psutil.Process] = []
    while len(workers) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        workers = psutil.Process(run.pid).children()
    time.sleep(1)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 130, err
    assert "Traceback" not in err
    assert not psutil.wait_procs(workers, timeout=5)[1]
    assert [row["status"] for row in csv_rows(plugged)] == ["interrupted"]


def test_each_rank_gets_a_device():
    devices = tuple(Device(index=index, name="d", chip="d") for index in range(3))
    own = BackendDescription("own", None, devices=devices)
    shared = replace(own, ranks_share_devices=True)

    def indices(ranks, text, description):
        return [device.index for device in devices_of_ranks(ranks, text, description)]

    assert indices(2, None, own) == [0, 1]
    assert indices(2, "2,0", own) == [2, 0]
    assert indices(4, "1", shared) == [1, 1, 1, 1]
    with pytest.raises(UsageError, match="4 ranks of backend own need 4 devices; there are 3"):
        indices(4, None, own)
    with pytest.raises(UsageError, match="--device names 1"):
        indices(2, "1", own)
