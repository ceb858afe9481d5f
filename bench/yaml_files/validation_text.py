"""Says in plain words what pydantic found wrong with a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from bench.errors import one_of


def sentence(error: ValidationError, known: Iterable[str]) -> Iterator[tuple[str | None, str]]:
    """Yield each problem as key and text; the key is None where no single value is to blame.

    A validator that looks at several values begins its text with the key that it blames.
    """
    known = list(known)
    for found in error.errors(include_url=False):
        key = str(found["loc"][0]) if found["loc"] else None
        value, context = found.get("input"), found.get("ctx", {})
        kind = found["type"]
        if kind == "value_error":
            text = str(context["error"])
            blamed, colon, rest = text.partition(": ")
            yield (blamed, rest) if key is None and colon and blamed in known else (key, text)
        elif kind == "missing":
            yield key, "is missing"
        elif kind == "extra_forbidden":
            yield key, f"unknown key{one_of(str(key), known)}"
        else:
            yield key, _about(kind, value, context, str(found["msg"]))


def _about(kind: str, value: Any, context: dict[str, Any], message: str) -> str:
    if kind == "finite_number":
        return f"expected a finite number, got {value}"
    if kind.startswith(("int_", "float_")):
        what = "a whole number" if kind.startswith("int_") else "a number"
        return f"expected {what}, got {value!r}{_hint(value)}"
    if kind.startswith("bool_"):
        return f"expected true or false, got {value!r}"
    if kind.startswith("string_"):
        return f"expected text, got {value!r}"
    bounds = {
        "greater_than_equal": ("at least", "ge"),
        "greater_than": ("more than", "gt"),
        "less_than_equal": ("at most", "le"),
        "less_than": ("less than", "lt"),
    }
    if kind in bounds:
        words, name = bounds[kind]
        return f"expected {words} {context[name]:g}, got {value}"
    if kind == "literal_error":
        choices = [
            choice.strip(" '") for choice in context["expected"].replace(" or ", ",").split(",")
        ]
        return f"unknown value {value!r}{one_of(str(value), choices)}"
    return f"{message}, got {value!r}"


def _hint(value: Any) -> str:
    """Explain the texts that YAML does not take for numbers."""
    if isinstance(value, str):
        try:
            return f"; YAML reads this as text, write {float(value):g}"
        except ValueError:
            return ""
    return ""
