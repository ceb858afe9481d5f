"""Option values that say nothing or cannot be meant: refused, so that no gate passes by accident."""

from __future__ import annotations

import pytest

from tests.results.bad_files import sound


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a.csv").write_bytes(sound())
    return tmp_path


@pytest.mark.parametrize("option", ["--fail-below", "--threshold"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-nan", "1e999"])
def test_a_gate_that_is_no_number(file, invoke, option, value):
    said = invoke("compare", "a.csv", "a.csv", option, value, status=2)
    assert "is not a finite number" in said or "is not in the range" in said


@pytest.mark.parametrize("value", ["", " ", ","])
@pytest.mark.parametrize(
    ("option", "arguments"),
    [
        ("--filter", ["show", "a.csv"]),
        ("--sort", ["show", "a.csv"]),
        ("--columns", ["show", "a.csv"]),
        ("--base", ["compare", "a.csv", "a.csv"]),
        ("--filter", ["run", "smoke", "--list-cases"]),
        ("--dtype", ["ceiling"]),
        ("--dtype", ["project", "deepseek-v3", "--chip", "h100-sxm", "--chips", "8"]),
        ("--tokens", ["project", "deepseek-v3", "--chip", "h100-sxm", "--chips", "8"]),
        ("--utilization", ["project", "deepseek-v3", "--chip", "h100-sxm", "--chips", "8"]),
        ("--published", ["project", "deepseek-v3", "--chip", "h100-sxm", "--chips", "8"]),
    ],
)
def test_an_empty_text(file, invoke, option, arguments, value):
    said = invoke(*arguments, option, value, status=2)
    assert "it is empty" in said or "is not KEY=VALUE" in said


@pytest.mark.parametrize(
    "option",
    ["--sequence", "--attention-width", "--prefill", "--decode", "--context", "--kv-bytes"],
)
def test_a_size_that_nothing_has(invoke, option):
    model = ["project", "deepseek-v3", "--chip", "h100-sxm", "--chips", "8", "--utilization", "0.3"]
    assert "is not in the range" in invoke(*model, option, "1" + "0" * 30, status=2)


def test_a_name_that_is_known_is_not_told_to_be_another(invoke):
    model = ["project", "deepseek-v3", "--chip", "h100-sxm", "--chips", "8", "--utilization", "0.3"]
    said = invoke(*model, "--published", "days", status=2)
    assert "expected WHAT=VALUE, got 'days'" in said
    assert "did you mean" not in said
