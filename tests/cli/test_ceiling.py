"""`bench ceiling` as a user runs it, and later runs that use its ceilings."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from tests.conftest import Bench

RUN = ("run", "smoke", "--backend", "cpu", "--threads", "1", "--time-budget", "0.05",
       "--filter", "case_id=matmul-f32-ad83d5df0a")  # fmt: skip


def rows_of(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A finished search for float32 and a dtype that processors lack."""
    folder = tmp_path_factory.mktemp("ceiling")
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    environment["XDG_DATA_HOME"] = str(folder / "data")
    bench = Bench(folder, environment)
    arguments = ("--backend", "cpu", "--threads", "1", "--budget", "1")
    done = bench("ceiling", *arguments, "--dtype", "float32,tf32", "-o", "ceilings.csv")
    return bench, done


def test_one_row_per_dtype_and_operation(searched):
    bench, done = searched
    rows = rows_of(bench.folder / "ceilings.csv")
    assert [(row["kernel"], row["dtype"], row["status"]) for row in rows] == [
        *[("memory", "float32", "ok")] * 3,
        ("matmul", "float32", "ok"),
        ("matmul", "tf32", "unsupported"),
    ]
    best = rows[3]
    assert best["verified"] == "true"
    assert best["ceiling_tflops"] == best["achieved_tflops"]
    assert float(best["utilization_of_ceiling"]) == 1
    assert float(best["ceiling_gbps"]) == max(float(row["achieved_gbps"]) for row in rows[:3])
    assert best["run_id"] in best["ceiling_source"]
    assert "float32 read" not in done.stdout
    assert "f32 read 256 MiB" in done.stdout
    bench("validate", "ceilings.csv")


def test_every_trial_is_written_and_the_best_measured_again(searched):
    bench, _ = searched
    trials = rows_of(bench.folder / "ceilings.trials.csv")
    best = rows_of(bench.folder / "ceilings.csv")[3]
    same = [row for row in trials if row["case_id"] == best["case_id"]]
    assert len(same) == 2, "once among the trials, once at the end"
    assert same[-1]["time_median_s"] == best["time_median_s"]
    # How many shapes a budget of seconds allows depends on the machine; one is tried whatever it is.
    assert {row["kernel"] for row in trials if row["dtype"] == "float32"} == {"memory", "matmul"}


def test_a_later_run_uses_it(searched):
    bench, _ = searched
    done = bench(*RUN, "-o", "later.csv")
    (row,) = rows_of(bench.folder / "later.csv")
    best = rows_of(bench.folder / "ceilings.csv")[3]
    assert row["ceiling_tflops"] == best["achieved_tflops"]
    assert row["ceiling_source"] == best["ceiling_source"]
    shares = [float(row["achieved_tflops"]) / float(best["achieved_tflops"])]
    assert [float(row["utilization_of_ceiling"])] == pytest.approx(shares)
    assert "ceilings: bench ceiling" in done.stderr


def test_a_run_without_it(searched):
    bench, _ = searched
    done = bench(*RUN, "--ceiling", "none", "-o", "without.csv")
    (row,) = rows_of(bench.folder / "without.csv")
    assert row["ceiling_tflops"] == row["utilization_of_ceiling"] == ""
    assert "bench ceiling" not in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"simulated": "true"}, "of another device: simulated is False, there True"),
        ({"chip": "h100-sxm"}, "of another device: chip is"),
        ({"config": "smoke"}, "has no ceilings"),
    ],
)
def test_ceilings_of_another_device_are_refused(searched, change, message):
    bench, _ = searched
    rows = [row | change for row in rows_of(bench.folder / "ceilings.csv")]
    path = bench.folder / "other.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    done = bench(*RUN, "--ceiling", "other.csv", "-o", "refused.csv", status=2)
    assert message in done.stderr
    assert not (bench.folder / "refused.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dtype", "float33"), "unknown 'float33' (did you mean 'float32'"),
        (("--budget", "0"), "not a positive"),
        (("--device", "all,1"), "neither an index"),
        (("-o", "ceilings.csv"), "ceilings.csv"),
    ],
)
def test_mistakes(searched, arguments, message):
    bench, _ = searched
    before = (bench.folder / "ceilings.csv").read_bytes()
    done = bench("ceiling", "--backend", "cpu", *arguments, status=2)
    assert message in done.stderr
    assert (bench.folder / "ceilings.csv").read_bytes() == before
