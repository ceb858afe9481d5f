"""Estimates: the interval of a result holds whatever the operands' intervals can give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.estimate import Estimate, Impossible, exactly, largest, smallest


@st.composite
def estimates(draw, least=-1e6):
    low, value, high = sorted(draw(st.tuples(*[st.floats(least, 1e6)] * 3)))
    return Estimate(value, low, high)


def inside(value, estimate):
    slack = 1e-9 * max(1.0, abs(estimate.low), abs(estimate.high))
    return estimate.low - slack <= value <= estimate.high + slack


@given(estimates(), estimates(), st.floats(0, 1), st.floats(0, 1))
def test_the_interval_holds_every_combination(a, b, s, t):
    x, y = a.low + s * (a.high - a.low), b.low + t * (b.high - b.low)
    assert inside(x + y, a + b)
    assert inside(x - y, a - b)
    assert inside(x * y, a * b)
    assert inside(-x, -a)
    assert inside(abs(x), abs(a))
    assert inside(x**2, a.power(2))
    assert inside(min(x, y), smallest([a, b]))
    assert inside(max(x, y), largest([a, b]))


@given(estimates(), estimates(least=0.5), st.floats(0, 1), st.floats(0, 1))
def test_quotients_and_roots(a, b, s, t):
    x, y = a.low + s * (a.high - a.low), b.low + t * (b.high - b.low)
    assert inside(x / y, a / b)
    assert inside(y**0.5, b.power(0.5))
    assert inside(y**-1, b.power(-1))


def test_what_has_no_result():
    zero = Estimate(1.0, -1.0, 2.0)
    for attempt in (
        lambda: exactly(1) / zero,
        lambda: zero.power(-1),
        lambda: exactly(-2).power(0.5),
        lambda: exactly(0).log2(),
        lambda: exactly(1e99) * exactly(1e99),
        lambda: exactly(float("nan")),
        lambda: exactly(float("inf")),
    ):
        with pytest.raises(Impossible):
            attempt()
