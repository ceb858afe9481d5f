"""Formulas: arithmetic works, and everything else is refused with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.estimate import Estimate, exactly
from bench.claims.expression import ExpressionError, Reference, parse


def value(text, **facts):
    return parse(text).evaluate(lambda reference: exactly(facts[str(reference.name)])).value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 / (1 - 0.97)", 1 / 0.03),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("max(1, 2, 3) - min(4, 5)", -1),
        ("abs(-3) + sqrt(16) + log2(8)", 10),
        (" +a * b[npu] ", 6),
    ],
)
def test_arithmetic(text, expected):
    assert value(text, a=2, b=3) == pytest.approx(expected)


def test_references():
    assert parse("a[npu] / a[gpu] + max(b, 2)").references() == {
        Reference("a", "npu"),
        Reference("a", "gpu"),
        Reference("b"),
    }


def test_intervals_are_carried_along():
    estimate = parse("a / 2").evaluate(lambda _: Estimate(4, 2, 6))
    assert (estimate.low, estimate.value, estimate.high) == (1, 2, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.b", "attributes are not allowed"),
        ("().__class__.__bases__", "attributes are not allowed"),
        ("__import__('os')", "unknown function '__import__'"),
        ("a.b(1)", "unknown function 'a.b'"),
        ("squrt(2)", "did you mean 'sqrt'"),
        ("sqrt()", "sqrt takes one argument"),
        ("sqrt(1, 2)", "sqrt takes one argument"),
        ("max(a, key=1)", "max takes"),
        ("2 ** 11", "the largest exponent is 10, got 11"),
        ("9 ** 9 ** 9", "an exponent must be a number"),
        ("2 ** a", "an exponent must be a number"),
        ("2 ** 'a'", "is not a number"),
        ("1e400", "too large"),
        ("1" * 400, "too large"),
        ("a[0]", r"expected column\[rows\]"),
        ("a[npu][gpu]", r"expected column\[rows\]"),
        ("'text'", "is not a number"),
        ("True", "is not a number"),
        ("1 if a else 2", "only arithmetic"),
        ("[x for x in a]", "only arithmetic"),
        ("lambda: 1", "only arithmetic"),
        ("a < 1", "only arithmetic"),
        ("~1", "only arithmetic"),
        ("1 // 2", r"only \+ - \* / \*\*"),
        ("a := 1", "not a formula"),
        ("", "not a formula"),
        ("1 +", "not a formula"),
        ("a\0", "not a formula"),
        ("(" * 300 + "1" + ")" * 300, "longer than"),
        ("(" * 240 + "1" + ")" * 240, "not a formula|nested"),
        ("1" + "+1" * 300, "longer than"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ExpressionError, match=message):
        parse(text)


@pytest.mark.parametrize("text", ["1 / (a - a)", "sqrt(0 - a)", "log2(a - a)", "(a * 1e99) ** 10"])
def test_no_result(text):
    with pytest.raises(ExpressionError):
        value(text, a=2)


@given(st.text(max_size=60))
def test_no_text_does_anything_else(text):
    try:
        parse(text)
    except ExpressionError as error:
        assert str(error)


@given(st.text("ab019.+-*/()[]_, ", max_size=40))
def test_nearly_formulas(text):
    try:
        formula = parse(text)
        formula.evaluate(lambda _: exactly(2))
    except ExpressionError as error:
        assert str(error)
