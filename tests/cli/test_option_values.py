"""Option values that are empty or meaningless are refused, so that no gate passes by accident."""

from __future__ import annotations

import pytest

from tests.results.bad_files import sound


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a.csv").write_bytes(sound())
    return tmp_path


@pytest.mark.parametrize("option", ["--fail-below", "--threshold"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-nan", "1e999"])
def test_a_threshold_that_is_not_a_number(file, invoke, option, value):
    message = invoke("compare", "a.csv", "a.csv", option, value, status=2)
    assert "is not a finite number" in message or "is not in the range" in message


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
    message = invoke(*arguments, option, value, status=2)
    assert "it is empty" in message or "is not KEY=VALUE" in message


@pytest.mark.parametrize(
    "option",
    ["--sequence", "--attention-width", "--prefill", "--decode", "--context", "--kv-bytes"],
)
def test_an_absurd_size(invoke, option):
    model = ["project", "deepseek-v3", "--chip", "h100-sxm", "--chips", "8", "--utilization", "0.3"]
    assert "is not in the range" in invoke(*model, option, "1" + "0" * 30, status=2)


def test_a_known_name_gets_no_suggestion(invoke):
    model = ["project", "deepseek-v3", "--chip", "h100-sxm", "--chips", "8", "--utilization", "0.3"]
    message = invoke(*model, "--published", "days", status=2)
    assert "expected WHAT=VALUE, got 'days'" in message
    assert "did you mean" not in message
