"""Which rows of a frame, and in which order: what `--filter` and `--sort` mean for result rows."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.config.filters import Filter
from bench.errors import UsageError, nearest
from bench.results.rows import column_values


def select(frame: pd.DataFrame, chosen: Filter) -> pd.DataFrame:
    """Return the rows that have one of the values wanted for each key, an empty cell being `None`.

    A key is a column, or a parameter in `params`. Raises UsageError where no row does, or a key is
    unknown.
    """
    parameters = _parameters(frame)
    known = [*map(str, frame.columns), *(key for names in parameters for key in names)]
    for key in chosen.wanted:
        if key not in known:
            raise UsageError(
                f"--filter: unknown key {key!r}{nearest(key, known)}; a key is a column of "
                "docs/results.md, or a parameter in params"
            )
    cells = {
        key: frame[key] if key in frame else _parameter(frame, parameters, key)
        for key in chosen.wanted
    }
    left = np.ones(len(frame), bool)
    for key, values in chosen.wanted.items():
        left &= _has_one_of(cells[key], values)
    if not left.any():
        there = {key: set(map(_text, column_values(cells[key].drop_duplicates()))) for key in cells}
        raise chosen.nothing_selected("row", "these rows", there)
    return frame[left]


def sort(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return the rows by the columns in `keys`, downwards where there is a `-` in front.

    Rows that are equal stay in order; unknown is last.
    """
    if not keys:
        return frame
    names = [key.removeprefix("-") for key in keys]
    return frame.sort_values(
        names,
        ascending=[not key.startswith("-") for key in keys],
        kind="stable",
        na_position="last",
        key=_by_value,
    )


def _by_value(cells: pd.Series[Any]) -> pd.Series[Any]:
    """Return cells that sort by what they say, not by the order in which a file brought them."""
    if not isinstance(cells.dtype, pd.CategoricalDtype):
        return cells
    ordered = sorted(cells.cat.categories.astype(str))
    return cells.cat.set_categories(ordered, ordered=True)


def _has_one_of(cells: pd.Series[Any], values: Collection[str]) -> np.ndarray:
    """Return where a cell is one of the values, which are texts as in a result file."""
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        cells = pd.Series(column_values(cells), dtype=object)
    codes, distinct = pd.factorize(cells)
    # What is unknown has the code -1, and so the last place.
    fits = [*(_is_one_of(cell, values) for cell in distinct), "None" in values]
    return np.array(fits, bool)[codes]


def _is_one_of(cell: Any, values: Collection[str]) -> bool:
    if isinstance(cell, float):
        return any(_number(value) == cell for value in values)
    return _text(cell) in values or str(cell) in values


def _text(cell: Any) -> str:
    """Return a value as result files have it."""
    return str(cell).lower() if isinstance(cell, (bool, np.bool_)) else str(cell)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _parameters(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the parameters behind each distinct text in `params`, in the order of its categories."""
    return [_object(str(text)) for text in frame["params"].cat.categories]


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _parameter(frame: pd.DataFrame, parameters: list[dict[str, Any]], key: str) -> pd.Series[Any]:
    """Return a column of what the rows' cases have for a parameter."""
    texts = [None if names.get(key) is None else _text(names[key]) for names in parameters]
    values = np.array([*texts, None], dtype=object)
    return pd.Series(values[frame["params"].cat.codes.to_numpy()], index=frame.index, dtype=object)
