"""Numbers that users give: parsed, within what the quantity can be, or refused with a sentence."""

from __future__ import annotations

import pytest

from bench.analysis.quantities import (
    CHIPS,
    SHARE,
    TOKENS,
    USD_PER_HOUR,
    check_count,
    parse_estimate,
    parse_number,
)
from bench.errors import UsageError

HUGE = pytest.param(10**400, id="huge")
# More digits than Python turns into text.
LONGEST = pytest.param(10**5000, id="longest")
ABSURD = ("nan", "-nan", "inf", "-inf", "1e308", "1e-300", "0", "-1", "1" + "0" * 400, "1e999")


@pytest.mark.parametrize("text", [*ABSURD, "1..nan", "0..1", "1..1e308"])
def test_numbers_that_no_price_can_be(text):
    with pytest.raises(UsageError, match=r"--price: expected a number from 0.001 to 1e\+06, got"):
        parse_estimate(text, "--price", USD_PER_HOUR)


@pytest.mark.parametrize("text", ABSURD)
def test_numbers_that_no_count_of_tokens_can_be(text):
    with pytest.raises(UsageError, match=r"--tokens: expected a number from 1 to 1e\+18, got"):
        parse_number(text, "--tokens", TOKENS)


@pytest.mark.parametrize("text", ["", "cheap", "1..2", "0x10", "1,5"])
def test_texts_that_are_no_number(text):
    with pytest.raises(UsageError, match="--tokens: expected a number, got"):
        parse_number(text, "--tokens", TOKENS)


@pytest.mark.parametrize("text", ["2..1", "1..2..3"])
def test_bounds_in_the_wrong_order(text):
    with pytest.raises(UsageError, match=r"expected LOW\.\.HIGH"):
        parse_estimate(text, "--price", USD_PER_HOUR)


def test_a_share_is_at_most_one():
    assert parse_estimate("0.25..0.35", "--utilization", SHARE).value == pytest.approx(0.3)
    with pytest.raises(UsageError, match=r"expected a number from 0\.0001 to 1, got '1\.1'"):
        parse_estimate("1.1", "--utilization", SHARE)


@pytest.mark.parametrize("count", [0, -1, True, 1.0, 1.5, float("nan"), "8", HUGE, LONGEST])
def test_what_is_no_count_of_chips(count):
    with pytest.raises(UsageError, match="chips: expected a whole number from 1 to 10000000, got"):
        check_count(count, "chips", CHIPS)


def test_a_long_number_is_quoted_in_part():
    with pytest.raises(UsageError) as caught:
        parse_number("1" + "0" * 400, "--tokens", TOKENS)
    assert len(str(caught.value)) < 120
