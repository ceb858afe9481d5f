"""`bench run` as a user runs it: output, files, and refusals."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from bench.results.columns import STAGES

CONFIG = """
description: a test
measurement: {precision: 0.2, time_budget_s: 0.2}
kernels:
  - {kernel: matmul, dtype: [float32, float64, bfloat16], m: 16, n: 8, k: 8}
"""


@pytest.fixture
def small(plugged):
    plugged.write("c.yaml", CONFIG)
    return plugged


def run(bench, *arguments, **how):
    return bench("run", "c.yaml", "--backend", "numpy", *arguments, **how)


def test_a_backend_from_another_package(small):
    """The example of the README: installed by pip, found, run, with unsupported cases as rows."""
    done = run(small, "-o", "r.csv")
    rows = list(csv.DictReader((small.folder / "r.csv").open(newline="")))
    assert [row["status"] for row in rows] == ["ok", "ok", "unsupported"]
    assert rows[0]["backend"] == "numpy"
    assert rows[0]["implementation"] == "dot"
    assert rows[0]["utilization"] == "", "unknown limits give no utilization"
    assert "no fast product in bfloat16" in rows[2]["error"]
    assert "r.csv" in done.stderr
    assert "r.pyperf.json" in done.stderr
    assert "unsupported" in done.stdout
    small("validate", "r.csv")


def test_the_default_output_is_new_each_time(small):
    run(small)
    (path,) = (small.folder / "results" / "local").glob("*.csv")
    assert path.name.startswith("c-numpy-")


def test_samples_are_readable_by_pyperf(small):
    run(small, "-o", "r.csv")
    for verb in ("stats", "hist", "check", "show"):
        command = [sys.executable, "-m", "pyperf", verb, "r.pyperf.json"]
        done = subprocess.run(
            command, cwd=small.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    suite = json.loads((small.folder / "r.pyperf.json").read_text())
    names = [one["metadata"]["name"] for one in suite["benchmarks"]]
    assert len(names) == len(set(names)) == 2


def test_formats_for_other_programs(small):
    rows = json.loads(run(small, "-o", "a.csv", "--format", "json").stdout)
    assert [row["status"] for row in rows] == ["ok", "ok", "unsupported"]
    assert isinstance(rows[0]["time_median_s"], float)
    text = run(small, "-o", "b.csv", "--format", "csv").stdout
    assert text.replace("\r\n", "\n") == (small.folder / "b.csv").read_text().replace("\r\n", "\n")
    assert len(list(csv.reader(io.StringIO(text)))) == 4
    text = run(small, "-o", "b.csv", "--resume", "--format", "markdown", "--quiet").stdout
    assert text.startswith("### matmul\n\n| case | time |")
    assert "| f32 16×8×8 (dot) |" in text


def test_a_rumored_shape_has_a_note(plugged):
    layer = "{kernel: moe_layer, model: deepseek-1.2t-rumored, dtype: float32, tokens: 1}"
    plugged.write("c.yaml", f"kernels:\n  - {layer}\n")
    sentence = "note: deepseek-1.2t-rumored is rumored; its shape is an assumption"
    assert sentence in run(plugged, "-o", "r.csv").stderr.replace("\n", " ")
    assert sentence in plugged("validate-config", "c.yaml").stdout


def test_quiet_prints_nothing(small):
    done = run(small, "-o", "r.csv", "--quiet")
    assert done.stdout == ""
    assert done.stderr == ""


def test_verbose_shows_where_the_time_went(small):
    done = run(small, "-o", "r.csv", "-v")
    assert "sample" in done.stderr
    assert "total" in done.stderr


def test_list_cases_runs_nothing(small):
    done = run(small, "--list-cases", "--filter", "dtype=float32|float64")
    assert len(done.stdout.splitlines()) == 2
    assert "matmul f32 16×8×8" in done.stdout
    assert not (small.folder / "results").exists()


def test_stages_are_rows_that_add_up_to_their_layer(bench):
    bench.write(
        "s.yaml",
        """
measurement: {precision: 0.2, time_budget_s: 0.3}
kernels:
  - {kernel: moe_layer, dtype: float32, hidden: 128, intermediate: 64, experts: 4, top_k: 2,
     tokens: [8, 600], shared_experts: 1}
""",
    )
    run = ["run", "s.yaml", "--backend", "cpu", "--implementation", "loop", "-o", "s.csv"]
    done = bench(*run, "--stages")
    bench("validate", "s.csv")
    with (bench.folder / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == ["", *STAGES] * 2
    assert [row["phase"] for row in rows] == ["decode"] * 7 + ["prefill"] * 7
    for layer, *stages in (rows[:7], rows[7:]):
        assert {row["case_id"] for row in stages} == {layer["case_id"]}
        assert sum(int(row["flops"]) for row in stages) == int(layer["flops"])
        assert sum(float(row["time_median_s"]) for row in stages) > 0
        assert float(layer["weights_gbps"]) > 0
    assert "   experts" in done.stdout
    samples = json.loads((bench.folder / "s.pyperf.json").read_text())
    assert len(samples["benchmarks"]) == 2, "the samples are those of whole layers"
    bench(*run, "--resume")
    assert len((bench.folder / "s.csv").read_text().splitlines()) == 15, (
        "nothing was measured again"
    )


def test_the_seed_is_in_the_row(small):
    run(small, "-o", "r.csv", "--seed", 42)
    assert {row["seed"] for row in csv.DictReader((small.folder / "r.csv").open())} == {"42"}


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits(small, width):
    small.environment["COLUMNS"] = str(width)
    done = run(small, "-o", "r.csv")
    assert max(map(len, done.stdout.splitlines())) <= width
    assert "16×8×8" in done.stdout, "the name of a case is not wrapped"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nothing"], "'nothing' is neither a file nor a shipped config"),
        (["run", "smoek"], "did you mean 'smoke'"),
        (["run", "c.yaml", "--backend", "cdua"], "unknown backend 'cdua' (did you mean 'cuda'?)"),
        (["run", "c.yaml", "--backend", "broken"], "broken cannot be used here: AttributeError"),
        (["run", "c.yaml", "--backend", "numpy", "--device", "3"], "no device 3; present: 0"),
        (["run", "c.yaml", "--backend", "numpy", "--device", "x"], "neither an index"),
        (["run", "c.yaml", "--precision", "2"], "--precision"),
        (["run", "c.yaml", "--precision", "nan"], "--precision"),
        (["run", "c.yaml", "--time-budget", "-1"], "not a positive, finite number"),
        (["run", "c.yaml", "--time-budget", "inf"], "not a positive, finite number"),
        (["run", "c.yaml", "--rounds", "0"], "--rounds"),
        (["run", "c.yaml", "--seed", "-1"], "--seed"),
        (["run", "c.yaml", "--filter", "dytpe=float32"], "did you mean 'dtype'"),
        (["run", "c.yaml", "--resume"], "name the file"),
        (["run", "c.yaml", "--resume", "--force", "-o", "r.csv"], "give one of them"),
        (["run", "c.yaml", "--backend", "numpy", "--resume", "-o", "r.csv"], "does not exist"),
        (["run", "c.yaml", "--backend", "numpy", "-o", "."], "is a folder"),
        (["run", "c.yaml", "--backend", "crashing"], "the worker ended with exit code 9"),
        (["run", "c.yaml", "--backend", "deviceless"], "the driver does not answer"),
        (["run", "c.yaml", "--implementation", "dto", "--backend", "numpy"], "did you mean 'dot'"),
        (["run", "c.yaml", "--threads", "100000"], "this process may use"),
        (["rnu"], "did you mean 'run'"),
        (["run", "c.yaml", "--no-such-option"], "No such option"),
    ],
)
def test_mistakes_are_a_message_and_exit_2(small, arguments, message):
    done = small(*arguments, status=2)
    assert message in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(small.folder.glob("**/*.csv")), "nothing is written"


def test_the_default_is_the_best_backend_that_works(small):
    """Backends that crash or have no device are skipped, whatever their priority."""
    small("run", "c.yaml", "-o", "r.csv")
    rows = list(csv.DictReader((small.folder / "r.csv").open(newline="")))
    assert {row["backend"] for row in rows} == {"cpu"}


def test_the_processor_backend(small):
    done = small("run", "c.yaml", "--backend", "cpu", "-o", "r.csv", "--threads", 1)
    rows = list(csv.DictReader((small.folder / "r.csv").open(newline="")))
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert {row["threads"] for row in rows} == {"1"}
    assert all("measured" in row["peak_source"] for row in rows if row["peak_source"])
    assert done.stdout
