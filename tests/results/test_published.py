"""The published results: what the facts say, in the columns of our own, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from bench.catalog.chips import load_chips
from bench.config.cases import Case
from bench.kernels.matmul import Matmul
from bench.results.column_arrays import ColumnArrays
from bench.results.columns import NAMES
from bench.results.reader import read_rows
from bench.results.schema import results_schema
from bench.results.soundness import faults as row_faults
from bench.results.validate import validate

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
FILES = sorted(PUBLISHED.glob("*.csv"))


@pytest.fixture(scope="module")
def rows():
    return {file.stem: read_rows(file) for file in FILES}


def test_converting_again_gives_the_same_bytes(tmp_path):
    script = PUBLISHED / "sources" / "convert.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    made = {file.name: file.read_bytes() for file in tmp_path.glob("*.csv")}
    kept = {file.name: file.read_bytes() for file in FILES}
    assert made.keys() == kept.keys()
    stale = [name for name in made if made[name] != kept[name]]
    assert not stale, f"run python {script}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_file_is_sound(file):
    assert validate(file).problems == []


def test_one_chip_a_file(rows):
    chips = [{row["chip"] for row in found} for found in rows.values()]
    assert all(len(found) == 1 for found in chips)
    assert len(set.union(*chips)) == len(chips)


def test_the_two_chips_of_the_podcast_have_cases_in_common(rows):
    def cases(name):
        return {row["case_id"] for row in rows[name] if row["dtype"] == "bfloat16"}

    common = cases("nvidia-h100") & cases("ascend-910b2")
    squares = [Case(Matmul(m=n, n=n, k=n, dtype="bfloat16")) for n in (1024, 2048, 4096, 8192)]
    assert {case.case_id for case in squares} <= common


def test_nothing_is_invented(rows):
    """What only a run of ours can know stays empty, and every row says where it is from."""
    never = [
        "run_id",
        "started_at",
        "host",
        "config",
        "seed",
        "backend",
        "verified",
        "rel_error",
        "samples",
        "ci_low_s",
    ]
    for found in rows.values():
        for row in found:
            assert row["source"] and row["evidence"]
            assert [row[name] for name in never] == [None] * len(never)


def test_rates_are_those_of_the_source(rows):
    (row,) = (
        row for row in rows["ascend-910b2"] if row["m"] == 4096 and row["dtype"] == "bfloat16"
    )
    assert row["achieved_tflops"] == pytest.approx(315.36)
    assert row["peak_tflops"] == pytest.approx(353.8944)
    (layer,) = (
        row
        for row in rows["nvidia-h100"]
        if row["model"] == "deepseek-v3"
        and (row["tokens"], row["dtype"], row["routing"]) == (16384, "bfloat16", "balanced")
    )
    assert layer["flops"] == 6 * 16384 * 8 * 7168 * 2048
    assert layer["achieved_tflops"] == pytest.approx(679.0, abs=0.05)


def best_rate(rows, **wanted):
    """Look up the highest rate among the rows with the given columns."""
    return max(
        row["achieved_tflops"]
        for row in rows
        if all(row[name] == value for name, value in wanted.items())
    )


def test_the_ascend_910b_of_unstated_grade(rows):
    """Figures worked out by hand from the times in the source."""
    ascend = [row for row in rows["ascend-910b"] if "aiconfigurator-npu" in row["source"]]
    products = [row for row in ascend if row["kernel"] == "matmul"]
    assert [sum(row["dtype"] == dtype for row in products) for dtype in ("bfloat16", "int8")] == [
        1160,
        1193,
    ]
    assert best_rate(products, dtype="bfloat16") == pytest.approx(327.0, abs=0.05)
    assert best_rate(products, dtype="int8") == pytest.approx(592.8, abs=0.05)
    layers = [row for row in ascend if row["kernel"] == "moe_experts"]
    assert len(layers) == 39
    assert {row["evidence"] for row in layers} == {"derived"}
    assert all("without a seed" in row["warnings"] for row in layers)
    shared = {"dtype": "bfloat16", "expert_parallel": 8, "tokens": 4096 // 8}
    assert best_rate(layers, model="deepseek-v3", **shared) == pytest.approx(98.9, abs=0.05)
    mixtral = {"model": "mixtral-8x7b", "tokens": 4096}
    assert best_rate(layers, **mixtral) == pytest.approx(237.6, abs=0.05)


def test_the_ascend_910b_is_no_910b3(rows):
    """The grade is not stated, but these rates are beyond the Cube peaks of the smaller grades."""
    ascend = [row for row in rows["ascend-910b"] if row["kernel"] == "matmul"]
    for dtype in ("bfloat16", "int8"):
        peak = load_chips()["ascend-910b3"].limits(dtype).peak_tflops
        assert best_rate(ascend, dtype=dtype) > peak


@pytest.mark.parametrize(("all_tokens", "ratio"), [(1024, 0.494), (4096, 0.362)])
def test_deepseeks_experts_on_eight_devices_against_an_h100(rows, all_tokens, ratio):
    """1077.68 over 2180.33 µs, and 1322.23 over 3649.70 µs."""
    layer = {"model": "deepseek-v3", "dtype": "bfloat16", "expert_parallel": 8}
    layer |= {"tokens": all_tokens // 8}
    rates = [best_rate(rows[name], **layer) for name in ("ascend-910b", "nvidia-h100")]
    assert rates[0] / rates[1] == pytest.approx(ratio, abs=0.0005)


def test_a_published_row_needs_evidence_and_an_own_row_has_none(rows, ok):
    validator = jsonschema.Draft202012Validator(results_schema())
    published = rows["ascend-910b2"][0]
    validator.validate(published)
    assert not validator.is_valid({**published, "evidence": None})
    assert not validator.is_valid({**published, "evidence": "rumored"})
    assert not validator.is_valid({**published, "flops": None})
    assert not validator.is_valid({**published, "source": None})  # then it lacks what a run knows
    assert not validator.is_valid(ok(evidence="measured"))

    def faults(row):
        columns = ColumnArrays.of_rows([dict.fromkeys(NAMES) | row])
        return [fault.column for fault in row_faults(columns)]

    assert faults({**published, "evidence": None}) == ["evidence"]
    assert faults(ok(evidence="measured", source_date="2026")) == ["evidence", "source_date"]
    assert "host" in faults({**published, "source": None, "evidence": None, "source_date": None})


def test_files_without_the_late_columns_are_read(tmp_path, ok):
    from bench.results.cells import format_row
    from bench.results.writer import record

    late = ("source", "source_date", "evidence")
    kept = [place for place, name in enumerate(NAMES) if name not in late]
    cells = format_row(ok())
    path = tmp_path / "old.csv"
    path.write_bytes(
        record([NAMES[place] for place in kept]) + record([cells[place] for place in kept])
    )
    (row,) = read_rows(path)
    assert [row[name] for name in late] == [None] * 3
    assert validate(path).problems == []
    assert json.loads(str(row["params"]))["m"] == 64
