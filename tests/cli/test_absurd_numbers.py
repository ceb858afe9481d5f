"""Numbers that no cost and no projection can be about: every option refuses them with a sentence."""

from __future__ import annotations

import pytest

from bench.results.published import published_folder

NPU = published_folder() / "ascend-910b2.csv"
RUN = ("project", "deepseek-v3", "--chip", "h800-sxm", "--chips", "2048")
SERVING = ("project", "qwen3-30b-a3b", "--chip", "h100-sxm", "--chips", "8")

ABSURD = ("nan", "inf", "-inf", "1e308", "1e-300", "0", "-1", "1" + "0" * 400, "1" * 5000, "", "x")
COST = ("cost", NPU, "--price", "ascend-910b2=1")
TRAINING = (*RUN, "--tokens", "1e12", "--utilization", "0.3")


@pytest.mark.parametrize("value", ABSURD, ids=lambda value: value[:9] or "empty")
@pytest.mark.parametrize(
    ("command", "option"),
    [
        (COST, "--energy-price"),
        (COST, "--context"),
        (COST, "--price"),
        (TRAINING, "--chips"),
        (TRAINING, "--tokens"),
        (TRAINING, "--utilization"),
        (TRAINING, "--efficiency"),
        (TRAINING, "--days"),
        (TRAINING, "--sequence"),
        (TRAINING, "--attention-width"),
        (TRAINING, "--published"),
        (SERVING, "--prefill"),
        (SERVING, "--decode"),
        ((*SERVING, "--decode", "16"), "--context"),
        ((*SERVING, "--decode", "16", "--context", "9"), "--kv-bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_absurd_numbers_end_in_a_sentence(invoke, command, option, value):
    named = {"--price": f"ascend-910b2={value}", "--published": f"days={value}"}.get(option, value)
    message = invoke(*command, option, named, status=2)
    expected = ("expected", "is not in the range", "is not a valid integer", "it is empty")
    assert any(text in message for text in expected)


def test_the_largest_numbers_that_are_allowed_have_an_answer(invoke):
    most = ("--tokens", "1e18", "--utilization", "0.0001", "--efficiency", "0.0001")
    text = invoke(
        *RUN, *most, "--days", "0.001", "--published", "days=0.001", "--sequence", "1000000000"
    )
    figures = text.partition("Assumptions")[0]
    assert "chips for 0.001 days" in figures
    assert "nan" not in figures and "inf " not in figures
