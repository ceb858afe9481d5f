"""A value in a cell and back: the text forms of a result file, in one place."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bench.results.schema import BY_NAME, COLUMNS, Column

# A spreadsheet takes a text that begins like this for a formula; a leading apostrophe prevents it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def format_row(row: Mapping[str, object]) -> list[str]:
    """Return a row's cells in the order of the columns; unknown values are empty."""
    unknown = set(row) - set(BY_NAME)
    if unknown:
        raise KeyError(f"no such columns: {', '.join(sorted(unknown))}")
    return [format_cell(column, row.get(column.name)) for column in COLUMNS]


def format_cell(column: Column, value: object) -> str:
    """Return a value as text: numbers so that they read back equal, text without line breaks."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if column.type == "boolean":
        return "true" if value else "false"
    if column.type == "number":
        return repr(float(value))  # type: ignore[arg-type]
    if column.type == "integer":
        return str(int(value))  # type: ignore[call-overload]
    text = " ".join(str(value).splitlines()).replace("\0", "")
    return f"'{text}" if text.startswith((*FORMULA_STARTS, "'")) else text


def parse_cell(column: Column, text: str) -> object:
    """Return a cell's value, None where it is empty. Raises ValueError saying what was expected."""
    if text == "":
        if column.required:
            raise ValueError("is empty, but is always known")
        return None
    if column.type == "boolean":
        if text not in ("true", "false"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text == "true"
    if column.type in ("number", "integer"):
        return _number(column, text)
    value = text[1:] if text.startswith("'") else text
    if column.choices and value not in column.choices:
        raise ValueError(f"{value!r} is none of {', '.join(column.choices)}")
    return value


def _number(column: Column, text: str) -> float | int:
    try:
        value = int(text) if column.type == "integer" else float(text)
    except ValueError:
        hint = "; a decimal comma?" if "," in text else ""
        raise ValueError(f"{text!r} is not a {column.type}{hint}") from None
    if not math.isfinite(value) and column.name != "rel_error":
        raise ValueError(f"{text} is not finite")
    if column.positive and value <= 0:
        raise ValueError(f"{text} is not above zero")
    return value
