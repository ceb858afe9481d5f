"""The functions of `bench` in a script: the same answers as the commands, and cheap to import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.errors import UsageError
from bench.results.published import published_folder
from tests.results.bad_files import sound
from tests.results.conftest import make_row

ROOT = Path(__file__).parents[1]


@pytest.fixture
def files(tmp_path):
    """Files of two chips, and a later one of the first; the second is half as fast."""
    rows = [make_row(m, chip="a") for m in (64, 65, 66)]
    (tmp_path / "a.csv").write_bytes(sound(*rows))
    slower = [make_row(m, chip="b", time_median_s=5e-5) for m in (64, 65, 66)]
    (tmp_path / "b.csv").write_bytes(sound(*slower))
    (tmp_path / "later.csv").write_bytes(sound(*rows[:2]))
    return tmp_path


def test_importing_costs_neither_pandas_nor_torch():
    code = (
        "import sys, bench; from bench import __version__; dir(bench)\n"
        "assert not {'pandas', 'torch', 'numpy'} & set(sys.modules)\n"
        "assert 'load' in dir(bench) and not hasattr(bench, 'nothing')\n"
        "bench.load, bench.compare, bench.Comparison\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_that_is_promised_is_there_and_documented():
    for name in bench.__all__:
        value = getattr(bench, name)
        assert name.startswith("__") or value.__doc__


@pytest.mark.slow
def test_the_names_are_typed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import bench\n"
        "found = bench.compare([bench.load('a.csv'), bench.load('b.csv')])\n"
        "reveal_type(found)\n"
        "bench.nothing\n"
    )
    # With the settings of the project, and what checking the project itself has left to be used again.
    command = [sys.executable, "-m", "mypy", str(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    shown = done.stdout
    assert 'Revealed type is "bench.analysis.compare.Comparison"' in shown
    assert 'Module has no attribute "nothing"' in shown


def test_frames_in_a_list_go_by_their_chips(files):
    comparison = bench.compare([bench.load(files / "a.csv"), bench.load(files / "b.csv")])
    assert isinstance(comparison, bench.Comparison)
    assert (comparison.base, comparison.others) == ("a", ("b",))
    assert list(comparison.pairs["verdict"]) == ["slower"] * 3
    assert list(comparison.pairs["ratio"]) == pytest.approx([0.5] * 3)


def test_one_frame_is_compared_by_its_chips(files):
    rows = bench.load([files / "a.csv", files / "b.csv"])
    assert bench.compare(rows, base="b").pairs["ratio"].to_list() == pytest.approx([2.0] * 3)


def test_frames_of_one_chip_go_by_their_files(files):
    comparison = bench.compare([bench.load(files / "a.csv"), bench.load(files / "later.csv")])
    assert (comparison.base, comparison.others) == ("a", ("later",))
    several = bench.load([files / "a.csv", files / "later.csv"])
    assert bench.compare([several, bench.load(files / "later.csv")]).base == files.name


def test_labels_of_ones_own_and_rows_of_ones_own_choice(files):
    a, b = bench.load(files / "a.csv"), bench.load(files / "b.csv")
    comparison = bench.compare(
        {"before": a[a["m"] > 64], "after": b.sample(frac=1, random_state=1)}
    )
    assert (comparison.base, comparison.others) == ("before", ("after",))
    assert list(comparison.pairs["m"]) == [65, 66]
    assert list(comparison.unpaired["side"]) == ["after"]


def test_rounds_give_the_intervals_where_both_sides_have_them(files):
    frames = {}
    for name, factor in (("a", 1.0), ("b", 2.0)):
        frame = bench.load(files / f"{name}.csv")
        rounds = [f"{factor * 1e-5 * (1 + 0.001 * place):.6g}" for place in range(8)]
        texts = [" ".join(rounds), *[None] * (len(frame) - 1)]
        frames[name] = frame.assign(
            rounds=8, round_medians_s=pd.Series(texts, frame.index, dtype=object)
        )
    for given in (frames, list(frames.values())):
        comparison = bench.compare(given).pairs
        assert list(comparison["interval_from"]) == ["rounds", "rows", "rows"]
        assert comparison["ratio"][0] == pytest.approx(0.5)


def test_it_says_what_the_command_says(files, bench):
    import bench as package

    comparison = package.compare([package.load(files / "a.csv"), package.load(files / "b.csv")])
    said = json.loads(bench("compare", "a.csv", "b.csv", "--format", "json").stdout)
    assert said["pairs"][0]["low"] == comparison.pairs["low"][0]
    assert [row["set"] for row in said["sets"]] == list(comparison.sets["set"])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (lambda a: [a], "needs two devices"),
        (lambda a: [a, a], "is there twice"),
        (lambda a: ["a.csv", "b.csv"], r"frame 1: expected a frame from bench\.load"),
        (lambda a: {"x": a, "y": a[["m"]]}, "y: lacks case_id, chip, .*bench.load without"),
        (lambda a: [a, a[a["m"] == 0]], "has no rows"),
        (lambda a: pd.DataFrame(), "frame 1: lacks case_id"),
    ],
)
def test_mistakes(files, frames, message):
    with pytest.raises(UsageError, match=message):
        bench.compare(frames(bench.load(files / "a.csv")))


@pytest.fixture(scope="module")
def published():
    """The published results of an H100."""
    return bench.load(published_folder() / "nvidia-h100.csv")


def test_costs_are_those_of_the_command(published, bench):
    import bench as package

    costs = package.cost(published, prices={"h100-sxm": (2.0, 3.5)}, context=4096)
    arguments = ("--price", "h100-sxm=2..3.5", "--context", "4096", "--format", "json")
    said = json.loads(bench("cost", published_folder() / "nvidia-h100.csv", *arguments).stdout)
    values = [cost.usd_per_million_tokens.high for cost in costs.tokens]
    assert values == [cost["usd_per_million_tokens"]["high"] for cost in said["tokens"]]
    assert len(values) > 2
    dollars = [product.usd_per_exaflop.low for product in costs.products]
    assert dollars == [product["usd_per_exaflop"]["low"] for product in said["products"]]


def test_electricity_and_one_model_by_frames(published):
    plain = bench.cost(published, prices={"h100-sxm": 1.0}, model="qwen3-30b-a3b")
    assert not plain.products
    assert {cost.model for cost in plain.tokens} == {"qwen3-30b-a3b"}
    powered = bench.cost(
        published.assign(power_w=1000.0),
        prices={"h100-sxm": 1.0},
        energy_price=1.0,
        model="qwen3-30b-a3b",
    )
    for cost, more in zip(plain.tokens, powered.tokens, strict=True):
        ratio = more.usd_per_million_tokens.value / cost.usd_per_million_tokens.value
        assert ratio == pytest.approx(2)


def test_projections_of_training_and_inference(published):
    run = bench.project(
        "deepseek-v3",
        chip="h800-sxm",
        chips=2048,
        utilization=(0.25, 0.35),
        tokens=14.8e12,
        days=60,
        published=("chip-hours", 2.664e6),
    )
    assert run.chip_hours.value == pytest.approx(3_076_059, abs=1)
    assert run.over_published.value == pytest.approx(run.chip_hours.value / 2.664e6)
    assert run.chips_for_deadline.value == pytest.approx(run.days.value * 2048 / 60)
    where = {"chip": "h100-sxm", "chips": 8, "decode": 16, "context": 4096}
    served = bench.project("qwen3-30b-a3b", **where)
    assert served == bench.project("qwen3-30b-a3b", **where, rows=published)
    assert served.fits is True


ON_H100 = {"model": "deepseek-v3", "chip": "h100-sxm", "chips": 32}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda rows: bench.cost(rows, prices={"h100-sxm": -1}),
            r"prices\['h100-sxm'\]: expected a number from",
        ),
        (lambda rows: bench.cost(rows, energy_price=(2, 1)), "energy_price: expected LOW..HIGH"),
        (lambda rows: bench.cost(rows, model="deepseek-v33"), "did you mean 'deepseek-v3'"),
        (
            lambda rows: bench.cost(rows, context=0),
            "context: expected a whole number from 1 to 1000000000, got '0'",
        ),
        (lambda rows: bench.cost("a.csv"), r"rows: expected a frame from bench\.load"),
        (lambda rows: bench.cost(rows[["chip"]]), "rows: lacks"),
        (lambda rows: bench.cost(rows[rows["m"] == -1]), "no row with a measurement"),
        (
            lambda rows: bench.cost(rows.assign(simulated=True)),
            "rows: .* are of a simulated device",
        ),
        (
            lambda rows: bench.project(**{**ON_H100, "chips": 0}),
            "chips: expected a whole number from 1 to 10000000, got '0'",
        ),
        (
            lambda rows: bench.project(**ON_H100, utilization=1.5),
            "utilization: expected a number from",
        ),
        (
            lambda rows: bench.project(**ON_H100, utilization=0.3, published=("hours", 1)),
            "published: unknown quantity 'hours'",
        ),
        (lambda rows: bench.project(**ON_H100, tokens=float("nan")), "tokens: expected a number"),
        (lambda rows: bench.project(**ON_H100, decode=1.5), "decode: expected a whole number"),
        (lambda rows: bench.project(**ON_H100, decode=10**400), "decode: expected a whole number"),
        (
            lambda rows: bench.project(**ON_H100, utilization=0.3, tokens=1e12, days=1e-300),
            "--days: expected a number from",
        ),
        (
            lambda rows: bench.project(**ON_H100, rows=rows[rows["kernel"] == "matmul"]),
            "no row of deepseek-v3",
        ),
    ],
)
def test_mistakes_in_costs_and_projections(published, call, message):
    with pytest.raises(UsageError, match=message):
        call(published)
