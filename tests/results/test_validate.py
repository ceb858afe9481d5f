"""Validation: a sound file passes, and each contradiction is found in its row and column."""

import pytest

from bench.results.validate import validate
from bench.results.writer import ResultFile
from tests.results.rows import ROW


@pytest.fixture
def check(tmp_path):
    def run(*rows):
        path = tmp_path / "r.csv"
        with ResultFile.create(path, force=True) as file:
            for row in rows:
                file.append(row)
        return validate(path)

    return run


def test_a_sound_file(check):
    assert check(ROW) == ([], [], 1)


FAILED = dict.fromkeys(
    ("time_median_s", "ci_low_s", "ci_high_s", "achieved_tflops", "achieved_gbps")
)


def test_a_failed_row_is_sound_too(check):
    row = {**ROW, **FAILED, "status": "crashed", "error": "the worker died", "verified": None}
    assert check(row) == ([], [], 1)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"achieved_tflops": 25.0}, "achieved_tflops"),
        ({"achieved_gbps": 25.0}, "achieved_gbps"),
        ({"arithmetic_intensity": 1.0}, "arithmetic_intensity"),
        ({"time_median_s": 0.0}, "time_median_s"),
        ({"ci_low_s": 2.05e-6}, "time_median_s"),
        ({"ci_low_s": None}, "ci_low_s"),
        ({"verified": False}, "verified"),
        ({"rel_error": 1e-3}, "rel_error"),
        ({"samples": None}, "samples"),
        ({"m": 7}, "m"),
        ({"params": "{"}, "params"),
        ({"params": "[]"}, "params"),
        ({"case_id": "memory-f32-0123456789"}, "case_id"),
        ({"peak_tflops": 1.0, "utilization": 0.5}, "utilization"),
        ({"utilization": 0.5}, "utilization"),
        ({"status": "crashed", "error": "x"}, "time_median_s"),
        ({"status": "crashed", **FAILED}, "error"),
    ],
)
def test_contradictions(check, change, column):
    problems, _, sound = check({**ROW, **change})
    assert column in [problem.column for problem in problems]
    assert {problem.line for problem in problems} == {2}
    assert sound == 0


def test_the_same_case_twice(check):
    problems, _, _ = check(ROW, ROW)
    assert [(p.line, p.column) for p in problems] == [(3, "case_id")]


def test_beyond_the_peak_is_doubtful_not_wrong(check):
    peak = ROW["achieved_tflops"] / 1.05
    problems, doubts, sound = check({**ROW, "peak_tflops": peak, "utilization": 1.05})
    assert (problems, sound) == ([], 1)
    assert doubts[0].column == "utilization"


def test_a_truncated_file_says_how_to_repair_it(check, tmp_path):
    check(ROW, {**ROW, "case_id": "matmul-f32-2"})
    path = tmp_path / "r.csv"
    path.write_bytes(path.read_bytes()[:-10])
    problems, _, sound = validate(path)
    assert sound == 1
    assert [(p.line, "--resume" in p.text) for p in problems] == [(3, True)]
