"""Several devices: one after another, or together; one that is lost; and the summary at the end."""

from __future__ import annotations

import csv
import signal
import threading
import time

import psutil
import pytest

from bench.measure.start_barrier import StartBarrier

CONFIG = """
description: a test
measurement: {{precision: 0.2, time_budget_s: {budget}, case_timeout_s: {timeout}}}
kernels:
  - {{kernel: matmul, dtype: float32, m: [{sizes}], n: 8, k: 8}}
"""


@pytest.fixture
def many(plugged):
    plugged.environment["MANY_DEVICES"] = str(plugged.folder)
    return plugged


def run(many, *more, sizes=(5, 6), budget=0.1, timeout=60, **how):
    listed = ", ".join(map(str, sizes))
    many.write("c.yaml", CONFIG.format(sizes=listed, budget=budget, timeout=timeout))
    return many(
        "run", "c.yaml", "--backend", "many", "-o", "r.csv", "--device", "all", *more, **how
    )


def csv_rows(many):
    with (many.folder / "r.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def spans(many, device):
    text = (many.folder / f"trace-{device}").read_text()
    return [tuple(map(float, line.split())) for line in text.splitlines()]


def overlap(many):
    """Return the share of the shortest span in which all devices sampled, for each case."""
    shares = []
    for together in zip(*(spans(many, device) for device in range(4)), strict=True):
        shared = min(end for _, end in together) - max(begin for begin, _ in together)
        shares.append(shared / min(end - begin for begin, end in together))
    return shares


def test_one_after_another(many):
    done = run(many, "--rounds", 2)
    rows = csv_rows(many)
    assert [row["device_index"] for row in rows] == list("00112233")
    assert {row["devices_together"] for row in rows} == {"1"}
    assert all(share < 0 for share in overlap(many))
    text = " ".join(done.stdout.split())
    assert "2 (Nap 2) is the slowest, 20." in text
    assert "0: 0." in text or "0: 100" in text


def test_together(many):
    # Long enough that a worker which a busy machine lets wait still samples beside the others.
    done = run(many, "--together", budget=1.0)
    rows = csv_rows(many)
    assert [row["device_index"] for row in rows] == list("01230123")
    assert {row["devices_together"] for row in rows} == {"4"}
    assert {row["stop_reason"] for row in rows} == {"time_budget"}
    # They begin together, and each goes on for the whole time budget.
    assert all(share > 0 for share in overlap(many))
    assert "2 cases on many 0, 1, 2, 3 together" in done.stderr
    assert "2 (Nap 2) is the slowest" in done.stdout
    others = {row["device_index"]: row["other_processes"] for row in rows}
    assert others == {"0": "0", "1": "0", "2": "0", "3": "1"}
    assert "1 other process used the device" in rows[3]["warnings"]
    assert "other process" not in rows[0]["warnings"]
    many("validate", "r.csv")


def test_every_round_is_together(many):
    # The option has an older name.
    run(many, "--parallel", "--rounds", 3, sizes=[5], budget=1.0)
    assert [row["rounds"] for row in csv_rows(many)] == ["3"] * 4
    assert all(len(spans(many, device)) == 3 for device in range(4))
    assert all(share > 0 for share in overlap(many))


@pytest.mark.parametrize(("size", "status"), [(33, "error"), (31, "device_lost")])
def test_one_that_fails_does_not_keep_the_others_waiting(many, size, status):
    run(many, "--together", sizes=[5, size, 6], status=1)
    rows = csv_rows(many)
    assert [row["status"] for row in rows[:4]] == ["ok"] * 4
    assert [row["status"] for row in rows[4:8]] == ["ok", status, "ok", "ok"]
    last = "device_lost" if status == "device_lost" else "ok"
    assert [row["status"] for row in rows[8:]] == ["ok", last, "ok", "ok"]
    assert rows[8]["devices_together"] == ("3" if last == "device_lost" else "4")


def test_one_that_hangs_is_ended_by_its_timeout(many):
    run(many, "--together", sizes=[34], timeout=4, status=1)
    assert [row["status"] for row in csv_rows(many)] == ["ok", "timeout", "ok", "ok"]


def test_a_device_that_is_gone_when_the_next_worker_looks_is_lost(many):
    run(many, sizes=[5, 32, 6], status=1)
    of_1 = [row for row in csv_rows(many) if row["device_index"] == "1"]
    assert [row["status"] for row in of_1] == ["ok", "crashed", "device_lost"]
    assert "device 1 is not among the 3 that are left" in of_1[2]["error"]


@pytest.mark.parametrize("more", [[], ["--together"]], ids=["in turn", "together"])
def test_a_lost_devices_cases_are_measured_again_on_resume(many, more):
    run(many, *more, sizes=[31, 5], status=1)
    before = (many.folder / "r.csv").read_bytes()
    lost = [row for row in csv_rows(many) if row["status"] == "device_lost"]
    assert {row["device_index"] for row in lost} == {"1"}
    assert len(lost) == 2

    (many.folder / "healed").touch()
    done = run(many, *more, "--resume", sizes=[31, 5])
    assert (many.folder / "r.csv").read_bytes().startswith(before), "rows in the middle stay"
    again = csv_rows(many)[8:]
    assert [(row["device_index"], row["status"]) for row in again] == [("1", "ok")] * 2
    assert "device_lost" not in done.stdout, "what was measured again counts no more"
    many("validate", "r.csv")


def test_an_interrupted_run_of_several_devices_leaves_nobody_behind(many):
    text = CONFIG.format(sizes="5, 6", budget=60, timeout=90)
    many.write("c.yaml", text)
    command = ["run", "c.yaml", "--backend", "many", "-o", "r.csv", "--device", "all", "--together"]
    process = many.start(*command)
    deadline = time.monotonic() + 60
    workers: list[psutil.Process] = []
    while len(workers) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        workers = psutil.Process(process.pid).children()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not psutil.wait_procs(workers, timeout=5)[1]
    assert [row["status"] for row in csv_rows(many)] == ["interrupted"] * 4


def test_a_start_barrier_opens_when_all_have_come_or_left():
    barrier, passed = StartBarrier(3), []

    def come(name, times):
        for _ in range(times):
            barrier.wait()
            passed.append(name)
        barrier.leave()

    threads = [threading.Thread(target=come, args=each) for each in (("a", 3), ("b", 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(0.05)
    assert passed == [], "one is missing"
    barrier.leave()
    for thread in threads:
        thread.join(10)
    assert sorted(passed) == ["a", "a", "a", "b"]
