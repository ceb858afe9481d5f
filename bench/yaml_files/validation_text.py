"""Turns pydantic's validation errors into sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from bench.errors import one_of
from bench.yaml_files.source import brief


def sentence(error: ValidationError, known: Iterable[str]) -> Iterator[tuple[str | None, str]]:
    """Yield each problem as key and text; the key is None if no single value is at fault.

    `known` are the valid keys. A validator that checks several values starts its message with the key
    at fault.
    """
    known = list(known)
    for problem in error.errors(include_url=False):
        key = str(problem["loc"][0]) if problem["loc"] else None
        value, context = problem.get("input"), problem.get("ctx", {})
        kind = problem["type"]
        if kind == "value_error":
            text = str(context["error"])
            blamed, colon, rest = text.partition(": ")
            yield (blamed, rest) if key is None and colon and blamed in known else (key, text)
        elif kind == "missing":
            yield key, "is missing"
        elif kind == "extra_forbidden":
            yield key, f"unknown key{one_of(str(key), known)}"
        else:
            yield key, _about(kind, value, context, str(problem["msg"]))


def _about(kind: str, value: Any, context: dict[str, Any], message: str) -> str:
    if kind == "finite_number":
        return f"expected a finite number, got {brief(value)}"
    if kind.startswith(("int_", "float_")):
        what = "a whole number" if kind.startswith("int_") else "a number"
        return f"expected {what}, got {brief(value)}{_hint(value)}"
    if kind.startswith("bool_"):
        return f"expected true or false, got {brief(value)}"
    if kind.startswith("string_"):
        return f"expected text, got {brief(value)}"
    bounds = {
        "greater_than_equal": ("at least", "ge"),
        "greater_than": ("more than", "gt"),
        "less_than_equal": ("at most", "le"),
        "less_than": ("less than", "lt"),
    }
    if kind in bounds:
        words, name = bounds[kind]
        return f"expected {words} {context[name]:g}, got {brief(value)}"
    if kind == "literal_error":
        choices = [
            choice.strip(" '") for choice in context["expected"].replace(" or ", ",").split(",")
        ]
        return f"unknown value {brief(value)}{one_of(str(value), choices)}"
    return f"{message}, got {brief(value)}"


def _hint(value: Any) -> str:
    """Advise on a number that YAML reads as text, such as 1e-3."""
    if isinstance(value, str):
        try:
            return f"; YAML reads this as text, write {float(value):g}"
        except ValueError:
            return ""
    return ""
