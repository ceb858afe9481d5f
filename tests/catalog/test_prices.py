"""The table of prices."""

import pytest

from bench.catalog.chips import load_chips
from bench.catalog.prices import api_prices, get_api_price, rents
from bench.errors import UsageError


def test_every_price_has_a_date_and_a_source():
    for price in (*api_prices().values(), *rents()):
        assert price.date
        assert price.source
    assert all(price.input > 0 for price in api_prices().values())
    assert {rent.chip for rent in rents()} <= set(load_chips())


def test_an_unknown_item():
    with pytest.raises(UsageError, match="did you mean 'GPT-4o'"):
        get_api_price("GPT4o")
