"""Collectives over gloo: every operation and dtype on the CPU, in real processes."""

from __future__ import annotations

import csv
import json

import pytest

from bench.kernels.collective import IN_PLACE

CONFIG = """
measurement: {precision: 0.5, time_budget_s: 0.05, case_timeout_s: 60, rounds: 1}
kernels:
  - kernel: collective
    operation: [all_reduce, broadcast, all_gather, reduce_scatter]
    in_place: true
    size_bytes: 100000
  - kernel: collective
    operation: [all_gather, reduce_scatter, all_to_all, all_to_all_uneven]
    size_bytes: 100000
  - kernel: collective
    operation: all_reduce
    in_place: true
    dtype: [float64, float16, bfloat16, int8]
    size_bytes: 4096
  - kernel: collective
    operation: [all_gather, all_to_all]
    dtype: [float8_e4m3, bfloat16, int8]
    size_bytes: 4096
  - {kernel: collective, operation: broadcast, in_place: true, size_bytes: 4096, dtype: float8_e4m3}
  - {kernel: collective, operation: send_recv, size_bytes: 4096}
  - {kernel: collective, operation: all_reduce, size_bytes: 4096}
  - {kernel: collective, operation: all_gather, size_bytes: 4}
  - {kernel: collective, operation: broadcast, in_place: true, size_bytes: 4096, world_size: 3}
  - {kernel: memory, operation: copy, size_mib: 1}
"""


def csv_rows(path):
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("ranks", [2, 4])
def test_every_collective_is_verified(bench, ranks):
    bench.write("c.yaml", CONFIG)
    done = bench("run", "c.yaml", "--backend", "cpu", "--ranks", ranks, "-o", "r.csv")
    rows = csv_rows(bench.folder / "r.csv")
    assert f"{ranks} ranks" in done.stderr
    *grouped, memory = rows
    assert memory["status"] == "ok"
    assert memory["world_size"] == memory["busbw_gbps"] == memory["nodes"] == ""
    unsupported = [row["error"] for row in grouped if row["status"] == "unsupported"]
    assert len(unsupported) == 3
    assert "in place only" in unsupported[0]
    assert f"for each of {ranks} ranks" in unsupported[1]
    assert f"the case is for 3 ranks, and this run has {ranks}: give --ranks 3" in unsupported[2]
    measured = [row for row in grouped if row["status"] != "unsupported"]
    assert {(row["status"], row["verified"], row["tolerance"]) for row in measured} == {
        ("ok", "true", "0.0")
    }, [(row["params"], row["error"]) for row in measured]
    for row in measured:
        assert row["world_size"] == str(ranks)
        assert row["nodes"] == "1"
        parameters = json.loads(row["params"])
        assert json.loads(row["in_place"]) is parameters["in_place"]
        assert not parameters["in_place"] or parameters["operation"] in IN_PLACE
        algbw, busbw = float(row["algbw_gbps"]), float(row["busbw_gbps"])
        factor = {"all_reduce": 2 * (ranks - 1) / ranks, "broadcast": 1, "send_recv": 1}
        expected = factor.get(row["operation"], (ranks - 1) / ranks)
        assert busbw == pytest.approx(algbw * expected, rel=1e-6)
        assert float(row["fastest_rank_s"]) > 0
        assert int(row["slowest_rank"]) < ranks
        assert row["peak_gbps"] == row["ceiling_gbps"] == "", "a device's limits are not a link's"
    pairs = {(r["sender"], r["receiver"]) for r in measured if r["operation"] == "send_recv"}
    assert len(pairs) == ranks * (ranks - 1)
    bench("validate", "r.csv")
    again = bench("run", "c.yaml", "--backend", "cpu", "--ranks", ranks, "-o", "r.csv", "--resume")
    assert "[1/" not in again.stderr, "everything is measured"
    (bench.folder / "same.csv").write_bytes((bench.folder / "r.csv").read_bytes())
    shared = len(rows) - len(unsupported)
    assert f"{shared} shared cases" in bench("compare", "r.csv", "same.csv").stdout
    if ranks == 2:
        bench("report", "r.csv", "-o", "r.html")
        assert "bus GB/s" in (bench.folder / "r.html").read_text()


def test_how_many_ranks_has_to_be_clear(bench):
    alone = bench("run", "collectives", "--backend", "cpu", status=2)
    assert "say how many with --ranks" in alone.stderr
    without = bench("run", "memory", "--backend", "cpu", "--ranks", 2, status=2)
    assert "no case of this config is for several ranks" in without.stderr
    both = bench("run", "collectives", "--ranks", 2, "--together", status=2)
    assert "give one of them" in both.stderr
    bench.environment.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="2")
    launched = bench("run", "collectives", "--backend", "cpu", "--ranks", 2, status=2)
    assert "torchrun has started several" in launched.stderr


def test_listed_cases_have_the_ids_of_the_run(bench):
    listed = bench("run", "collectives", "--ranks", 4, "--list-cases").stdout
    assert listed.count("send_recv") == 12
    assert "4 ranks" in listed
    other = bench("run", "collectives", "--ranks", 2, "--list-cases").stdout
    ids = [{line.split()[0] for line in text.splitlines()} for text in (listed, other)]
    assert not ids[0] & ids[1], "cases of different world sizes never pair"
