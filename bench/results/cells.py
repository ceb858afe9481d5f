"""How a value becomes the text of a cell, and that text the value again.

What is read is exactly what can be written: a value that does not fit its column is left out when a
row is written, and the row's `warnings` say so, because a row with a gap is worth more than no row.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bench.results.columns import BY_NAME, COLUMNS, DATE, SHA256, Column

# Longer texts are cut: a compiler's whole output is not a cell, and spreadsheets end at 32,767.
LONGEST_TEXT = 8000

# Line breaks of any alphabet and control characters, so that one line of the file is one record.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

# A spreadsheet computes a text that begins like this (CWE-1236). An apostrophe in front prevents it;
# texts that have apostrophes there already get one more, so that the reader can always take one off.
_FORMULA = re.compile(r"[\s']*[=+\-@＝＋－＠]")

# Integers of more than 64 bits still fit a float.
WIDEST = 2**1000

_INTEGER = re.compile(r"-?\d{1,302}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INFINITE = {"inf": math.inf, "-inf": -math.inf}
_PATTERNS = {SHA256: "64 hexadecimal digits", DATE: "a date like 2026-01-31, 2026-01 or 2026"}
_BOOLEANS = {"true": True, "false": False}


def format_row(row: Mapping[str, object]) -> list[str]:
    """Return a row's cells in the order of the columns, empty where unknown.

    Raises KeyError for names that are no columns: a fault of the harness, not of a value.
    """
    unknown = row.keys() - BY_NAME.keys()
    if unknown:
        raise KeyError(f"no such columns: {', '.join(sorted(unknown))}")
    cells, left_out = {}, []
    for column in COLUMNS:
        try:
            cells[column.name] = format_cell(column, row.get(column.name))
        except ValueError as error:
            cells[column.name] = ""
            left_out.append(f"{column.name} left out: {error}")
    if left_out:
        said = [text for text in (row.get("warnings"), *left_out) if text]
        cells["warnings"] = format_cell(BY_NAME["warnings"], "; ".join(map(str, said)))
    return list(cells.values())


def format_cell(column: Column, value: object) -> str:
    """Return a value as text. Raises ValueError, saying what was expected, if it does not fit."""
    if value is None:
        return ""
    if hasattr(value, "item"):  # numpy's and torch's scalars
        value = value.item()
    if column.type == "boolean":
        if not isinstance(value, bool):
            raise _misfit(column, value)
        return "true" if value else "false"
    if column.type in ("integer", "number"):
        return repr(_checked(column, _number(column, value), value))
    text = _CONTROLS.sub(" ", str(value)).encode("utf-8", "backslashreplace").decode()
    if column.type == "text" and len(text) > LONGEST_TEXT:
        text = f"{text[: LONGEST_TEXT - 1]}…"
    _check_text(column, text)
    return escaped(text)


def escaped(text: str) -> str:
    """Return a text that no spreadsheet computes: with an apostrophe where it looks like a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def parse_cell(column: Column, text: str) -> Any:
    """Return a cell's value, None if it is empty. Raises ValueError, saying what was expected."""
    if not text:
        return None
    if column.type == "integer":
        if not _INTEGER.fullmatch(text):
            raise _misfit(column, text)
        return _checked(column, int(text), text)
    if column.type == "number":
        if _NUMBER.fullmatch(text):
            return _checked(column, float(text), text)
        if text not in _INFINITE:
            raise _misfit(column, text)
        return _checked(column, _INFINITE[text], text)
    if column.type == "boolean":
        if text.lower() not in _BOOLEANS:  # spreadsheets write TRUE and FALSE
            raise _misfit(column, text)
        return _BOOLEANS[text.lower()]
    # As they are written: whatever shows a text later, none of it is a command to a terminal.
    text = _CONTROLS.sub(" ", unescaped(text))
    _check_text(column, text)
    return text


def unescaped(text: str) -> str:
    """Return a cell's text without the apostrophe that keeps a spreadsheet from computing it."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text) else text


def expected(column: Column) -> str:
    """Return what a column holds, such as `an integer of at least 1`."""
    if column.choices:
        return f"one of {', '.join(column.choices)}"
    kind = {
        "text": _PATTERNS.get(column.pattern or "", "text"),
        "json": "a JSON object",
        "time": "a time in UTC like 2026-01-31T23:59:59.123Z",
        "integer": "an integer",
        "number": "a number" if column.infinite else "a finite number",
        "boolean": "true or false",
    }[column.type]
    if column.minimum is not None:
        return f"{kind} of at least {column.minimum:g}"
    return f"{kind} above {column.above:g}" if column.above is not None else kind


def _number(column: Column, value: object) -> int | float:
    try:
        if isinstance(value, bool):
            raise TypeError
        if column.type == "integer":
            return operator.index(value)  # type: ignore[arg-type]
        return float(value) if isinstance(value, (int, float)) else math.nan
    except (TypeError, OverflowError):
        raise _misfit(column, value) from None


def _checked(column: Column, value: int | float, given: object) -> int | float:
    """Return a number if it is within its column's bounds."""
    fits = (column.minimum is None or value >= column.minimum) and (
        column.above is None or value > column.above
    )
    if column.type == "integer":
        most = WIDEST if column.wide else 2**63
        fits = fits and -most <= value < most
    elif not column.infinite:
        fits = fits and math.isfinite(value)
    if not fits or math.isnan(value):
        raise _misfit(column, given)
    return value


def _check_text(column: Column, text: str) -> None:
    if column.choices and text not in column.choices:
        raise _misfit(column, text)
    if column.pattern and not re.fullmatch(column.pattern, text, re.ASCII):
        raise _misfit(column, text)
    if column.type == "json" and not _is_object(text):
        raise _misfit(column, text)
    if column.type == "time" or column.pattern == DATE:
        moment = text[:19] if column.type == "time" else f"{text}-01-01"[:10]
        try:
            datetime.fromisoformat(moment)  # the pattern lets the 31st of February pass
        except ValueError:
            raise _misfit(column, text) from None


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _misfit(column: Column, given: object) -> ValueError:
    quoted = str(given) if isinstance(given, (int, float)) else repr(given)
    quoted = quoted if len(quoted) <= 40 else f"{quoted[:39]}…"
    hint = ""
    if column.type in ("integer", "number") and isinstance(given, str) and "," in given:
        hint = "; write decimal points, and nothing between thousands"
    return ValueError(f"expected {expected(column)}, found {quoted}{hint}")
