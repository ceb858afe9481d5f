"""A small language for the formulas of claims: arithmetic on names, and nothing else.

    achieved_tflops[npu] / achieved_tflops[gpu]
    1 - rumored_output_price / gpt4o_output_price

A name is a fact of the claims file or, with a set of rows in brackets, a column of the rows of a case.
Formulas are parsed as Python but never evaluated as such: only the operators and functions below are
accepted, and there are no attributes.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.analysis.estimate import Estimate, Impossible, exactly, largest, smallest
from bench.errors import one_of

LONGEST = 500  # characters; bounds the depth of nesting, too
LARGEST_POWER = 10

_OPERATORS: dict[type[ast.operator], Callable[[Estimate, Estimate], Estimate]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}

FUNCTIONS: dict[str, Callable[..., Estimate]] = {
    "abs": abs,
    "sqrt": lambda estimate: estimate.power(0.5),
    "log2": Estimate.log2,
    "min": lambda *estimates: smallest(estimates),
    "max": lambda *estimates: largest(estimates),
}
_SEVERAL = ("min", "max")


class ExpressionError(ValueError):
    """A problem of a formula, as a sentence; the reader of the file adds file and line."""


@dataclass(frozen=True)
class Reference:
    """A name in a formula: a fact, or a column of the rows of a set."""

    name: str
    rows: str | None = None

    def __str__(self) -> str:
        """Return the name as it is written."""
        return f"{self.name}[{self.rows}]" if self.rows else self.name


@dataclass(frozen=True)
class Expression:
    """A formula that has passed the checks of `parse`."""

    text: str
    _tree: ast.expr

    def references(self) -> set[Reference]:
        """Return the names that the formula needs."""
        return set(_references(self._tree))

    def evaluate(self, value_of: Callable[[Reference], Estimate]) -> Estimate:
        """Return the value; `value_of` gives that of a name. Raises ExpressionError if there is none."""
        try:
            return _evaluate(self._tree, value_of)
        except Impossible as error:
            raise ExpressionError(str(error)) from None


def parse(text: str) -> Expression:
    """Parse a formula. Raises ExpressionError for anything but plain arithmetic."""
    if len(text) > LONGEST:
        raise ExpressionError(f"longer than {LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ExpressionError(f"not a formula: {reason}") from None
    except (RecursionError, MemoryError):
        raise ExpressionError("nested too deeply") from None
    _check(tree)
    return Expression(text.strip(), tree)


def _check(node: ast.expr) -> None:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            raise ExpressionError(f"{node.value!r} is not a number")
        _number(node.value)
    elif isinstance(node, ast.BinOp):
        _check(node.left)
        _check(node.right)
        if isinstance(node.op, ast.Pow):
            _exponent(node.right)
        elif type(node.op) not in _OPERATORS:
            raise ExpressionError(f"only + - * / ** are allowed, got {ast.unparse(node)!r}")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        _check(node.operand)
    elif isinstance(node, ast.Call):
        _check_call(node)
    elif isinstance(node, ast.Subscript):
        if not (isinstance(node.value, ast.Name) and isinstance(node.slice, ast.Name)):
            raise ExpressionError(
                f"expected column[rows] like utilization[npu], got {ast.unparse(node)!r}"
            )
    elif isinstance(node, ast.Attribute):
        raise ExpressionError(f"attributes are not allowed, got {ast.unparse(node)!r}")
    elif not isinstance(node, ast.Name):
        raise ExpressionError(f"only arithmetic is allowed, got {ast.unparse(node)!r}")


def _check_call(node: ast.Call) -> None:
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
        called = ast.unparse(node.func)
        raise ExpressionError(f"unknown function {called!r}{one_of(called, FUNCTIONS)}")
    name, count = node.func.id, len(node.args)
    if node.keywords or not count or (count > 1 and name not in _SEVERAL):
        expected = "one argument or more" if name in _SEVERAL else "one argument"
        raise ExpressionError(f"{name} takes {expected}, got {ast.unparse(node)!r}")
    for argument in node.args:
        _check(argument)


def _number(value: int | float) -> float:
    try:
        return exactly(value).value
    except (OverflowError, Impossible):
        raise ExpressionError("a number is too large") from None


def _exponent(node: ast.expr) -> float:
    """Return the constant exponent of a power."""
    sign = -1.0 if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else 1.0
    inner = node.operand if isinstance(node, ast.UnaryOp) else node
    if not isinstance(inner, ast.Constant) or isinstance(inner.value, (str, bytes, complex)):
        raise ExpressionError(f"an exponent must be a number, got {ast.unparse(node)!r}")
    exponent = sign * _number(inner.value)  # type: ignore[arg-type]
    if abs(exponent) > LARGEST_POWER:
        raise ExpressionError(f"the largest exponent is {LARGEST_POWER}, got {exponent:g}")
    return exponent


def _references(node: ast.expr) -> Iterator[Reference]:
    if isinstance(node, ast.Name):
        yield Reference(node.id)
    elif isinstance(node, ast.Subscript):
        yield _reference(node)
    elif isinstance(node, ast.Call):
        for argument in node.args:
            yield from _references(argument)
    else:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from _references(child)


def _reference(node: ast.Subscript) -> Reference:
    assert isinstance(node.value, ast.Name)
    assert isinstance(node.slice, ast.Name)
    return Reference(node.value.id, node.slice.id)


def _evaluate(node: ast.expr, value_of: Callable[[Reference], Estimate]) -> Estimate:
    if isinstance(node, ast.Constant):
        return exactly(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        return value_of(Reference(node.id))
    if isinstance(node, ast.Subscript):
        return value_of(_reference(node))
    if isinstance(node, ast.UnaryOp):
        operand = _evaluate(node.operand, value_of)
        return -operand if isinstance(node.op, ast.USub) else operand
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        arguments = [_evaluate(argument, value_of) for argument in node.args]
        return FUNCTIONS[node.func.id](*arguments)
    assert isinstance(node, ast.BinOp)
    left = _evaluate(node.left, value_of)
    if isinstance(node.op, ast.Pow):
        return left.power(_exponent(node.right))
    return _OPERATORS[type(node.op)](left, _evaluate(node.right, value_of))
