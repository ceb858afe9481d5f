"""Rounds: when a case has had enough of them, in which order they go, and what survives a kill."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time

import pyperf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.jobs import order
from bench.measure.protocol import Outcome
from bench.measure.stopping_rule import LONGEST_BUDGETS, VISIT_SAMPLES, StoppingRule
from tests.measure.test_faults import assert_gone, config, csv_rows, run_faulty, workers_of


def visits(medians, spent_s=0.1):
    return [Outcome("ok", values_s=[median] * 3, spent_s=spent_s) for median in medians]


def test_a_quiet_case_stops_after_six_rounds():
    rule = StoppingRule(8, precision=0.02, time_budget_s=5)
    quiet = [1.0, 1.001, 0.999] * 4
    reasons = [rule.stop_reason(visits(quiet[:count])) for count in range(1, 7)]
    assert reasons == [None] * 5 + ["precision"]


def test_a_noisy_case_gets_all_its_rounds():
    rule = StoppingRule(8, precision=0.02, time_budget_s=5)
    noisy = [1.0, 1.2] * 6
    reasons = [rule.stop_reason(visits(noisy[:count])) for count in range(5, 9)]
    assert reasons == [None] * 3 + ["max_rounds"]


def test_the_budget_counts_whole_visits():
    rule = StoppingRule(8, precision=1e-6, time_budget_s=1)
    assert rule.stop_reason(visits([1.0, 1.2] * 3, spent_s=0.15)) == "time_budget"
    assert rule.stop_reason(visits([1.0, 1.2] * 3, spent_s=0.14)) is None


def test_six_rounds_may_take_four_budgets_and_two_are_always_taken():
    rule = StoppingRule(8, precision=0.02, time_budget_s=1)
    assert rule.stop_reason(visits([1.0] * 5, spent_s=LONGEST_BUDGETS / 6)) is None
    assert rule.stop_reason(visits([1.0] * 5, spent_s=1.1 * LONGEST_BUDGETS / 6)) == "time_budget"
    assert rule.stop_reason(visits([1.0], spent_s=100)) is None
    assert rule.stop_reason(visits([1.0] * 2, spent_s=100)) == "time_budget"


def test_a_quick_look_stops_by_its_samples():
    rule = StoppingRule(1, precision=0.02, time_budget_s=1)
    assert rule.visit_goal == {"time_budget_s": 1, "precision": 0.02, "least_samples": 6}
    assert rule.stop_reason([Outcome("ok", stop_reason="max_samples")]) == "max_samples"


def test_devices_together_go_on_for_the_whole_budget():
    rule = StoppingRule(4, precision=0.5, time_budget_s=2, together=True)
    assert rule.visit_goal == {"time_budget_s": 0.5, "samples": None}
    assert [rule.stop_reason(visits([1.0] * n)) for n in (3, 4)] == [None, "time_budget"]
    alone = StoppingRule(4, precision=0.5, time_budget_s=2)
    assert alone.visit_goal == {"time_budget_s": 0.5, "samples": VISIT_SAMPLES}


@given(st.integers(2, 30), st.integers(2, 5), st.text(max_size=5))
def test_each_round_visits_all_and_the_first_is_the_configs_order(count, number, run_id):
    items = list(range(count))
    assert order(items, 1, run_id) == items
    assert sorted(order(items, number, run_id)) == items
    assert order(items, number, run_id) == order(items, number, run_id)


def test_orders_differ():
    items = list(range(20))
    orders = {tuple(order(items, number, run)) for number in range(1, 9) for run in "ab"}
    assert len(orders) == 15, "the first is the same in every run"


def journal(bench):
    return bench.folder / "r.journal.jsonl"


def entries(bench):
    text = journal(bench).read_text() if journal(bench).exists() else ""
    return [json.loads(line) for line in text.splitlines()[1:]]


def wait_for_visits(bench, count):
    deadline = time.monotonic() + 60
    while len(entries(bench)) < count:
        assert time.monotonic() < deadline, "no visits in time"
        time.sleep(0.02)


def test_rows_stand_in_the_configs_order_and_the_journal_is_gone(plugged):
    config(plugged, 5, 17, 6, 7)
    done = run_faulty(plugged, status=1)
    rows = csv_rows(plugged.folder / "r.csv")
    assert [row["m"] for row in rows] == ["5", "17", "6", "7"]
    assert [row["rounds"] for row in rows] == ["6", "", "6", "6"]
    assert not journal(plugged).exists()
    assert "round 1 of 6: 4 cases" in done.stderr
    assert "round 2 of 6: 3 cases" in done.stderr, "what is wrong once is not visited again"


def test_a_killed_run_goes_on_with_the_visits_it_had(plugged):
    config(plugged, 5, 6, 7)
    started = plugged.start("run", "c.yaml", "--backend", "faulty", "-o", "r.csv")
    wait_for_visits(plugged, 7)
    workers = workers_of(started.pid)
    started.kill()
    started.wait()
    assert_gone(workers)
    kept = entries(plugged)
    # What a power cut would leave: half of a line.
    with journal(plugged).open("a") as file:
        file.write('{"job": ["mat')
    run_faulty(plugged, "--resume")
    rows = csv_rows(plugged.folder / "r.csv")
    assert [row["rounds"] for row in rows] == ["6"] * 3
    for row in rows:
        earlier = [e["outcome"] for e in kept if e["job"][0] == row["case_id"]]
        medians = [f"{sorted(e['values_s'])[len(e['values_s']) // 2]:.9g}" for e in earlier]
        odd = [len(e["values_s"]) % 2 for e in earlier]
        written = row["round_medians_s"].split()
        assert all(a == b for a, b, o in zip(medians, written, odd, strict=False) if o)
    plugged("validate", "r.csv")
    assert not journal(plugged).exists()


def test_an_interrupted_run_tells_how_far_it_was_and_goes_on_there(plugged):
    config(plugged, 5, 6, 18)
    started = plugged.start(
        "run", "c.yaml", "--backend", "faulty", "--time-budget", 6, "-o", "r.csv"
    )
    wait_for_visits(plugged, 4)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=30)
    assert started.returncode == 130, err
    rows = csv_rows(plugged.folder / "r.csv")
    assert [row["status"] for row in rows] == ["interrupted"] * 3
    assert "--resume goes on with them" in rows[0]["error"]
    before = len(entries(plugged))
    run_faulty(plugged, "--resume", "--time-budget", 1)
    rows = csv_rows(plugged.folder / "r.csv")
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert before >= 4
    assert not journal(plugged).exists()


def test_a_file_that_is_no_journal_is_left_alone(plugged):
    config(plugged, 5)
    journal(plugged).write_text("my diary\n")
    done = run_faulty(plugged, status=2)
    assert "is not a journal of this program" in done.stderr
    assert journal(plugged).read_text() == "my diary\n"
    journal(plugged).unlink()
    journal(plugged).symlink_to(plugged.folder / "elsewhere")
    done = run_faulty(plugged, "--force", status=2)
    assert "r.journal.jsonl" in done.stderr
    assert not (plugged.folder / "elsewhere").exists()


@pytest.mark.slow
def test_twenty_kills_lose_no_row_and_no_samples(plugged):
    """Killed at any moment and resumed until it is through, a run ends as if nothing had happened."""
    config(plugged, *range(30, 36))
    moment = random.Random(0)
    command = ("run", "c.yaml", "--backend", "faulty", "-o", "r.csv", "--quiet")
    known = {}
    for _ in range(20):
        more = ["--resume"] if (plugged.folder / "r.csv").exists() else []
        started = plugged.start(*command, *more)
        try:
            started.wait(timeout=moment.uniform(1.0, 4.0))
        except subprocess.TimeoutExpired:
            started.kill()
        _, err = started.communicate()
        assert started.returncode in (0, -9), err
        if (plugged.folder / "r.csv").exists():
            now = {
                row["case_id"]: row["round_medians_s"] for row in csv_rows(plugged.folder / "r.csv")
            }
            assert {case: now.get(case) for case in known} == known, "a row was lost or changed"
            known = now
    run_faulty(plugged, "--resume")
    rows = csv_rows(plugged.folder / "r.csv")
    assert [row["status"] for row in rows] == ["ok"] * 6
    suite = pyperf.BenchmarkSuite.load(str(plugged.folder / "r.pyperf.json"))
    samples = {
        bench.get_metadata()["case_id"]: (str(bench.get_nrun()), str(bench.get_nvalue()))
        for bench in suite.get_benchmarks()
    }
    assert samples == {row["case_id"]: (row["rounds"], row["samples"]) for row in rows}
    plugged("validate", "r.csv")
