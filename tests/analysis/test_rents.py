"""The price of an hour: the market's, and what users give."""

import pytest

from bench.analysis.rents import market_rent, parse_prices
from bench.catalog.chips import load_chips
from bench.errors import UsageError


def test_rents():
    rent = market_rent("h100-sxm")
    assert rent.low < rent.value < rent.high < 12.29, "rents of low confidence do not count"
    assert market_rent("ascend-910b2") is None


def test_given_prices():
    prices = parse_prices(["h100-sxm=2.5", "ascend-910b2=1..2"], load_chips())
    assert prices["h100-sxm"].exact
    assert (prices["ascend-910b2"].low, prices["ascend-910b2"].value) == (1, 1.5)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "0..1", "1..nan", "1e999"])
def test_prices_are_positive_numbers(text):
    with pytest.raises(UsageError, match=r"--price h100-sxm: expected a number from 0\.001"):
        parse_prices([f"h100-sxm={text}"], load_chips())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("h100-sxm", r"'h100-sxm' is not CHIP=\$/H"),
        ("h100-smx=1", r"unknown chip 'h100-smx' \(did you mean 'h100-sxm'"),
        ("h100-sxm=cheap", r"expected a number, or LOW..HIGH, got 'cheap'"),
        ("h100-sxm=2..1", "expected LOW..HIGH"),
        ("h100-sxm=1..2..3", "expected LOW..HIGH"),
    ],
)
def test_mistakes(option, message):
    with pytest.raises(UsageError, match=message):
        parse_prices([option], load_chips())
