"""The rules about a row's case: kernel, dtype and params determine case_id and the parameters' columns."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from bench.config.cases import Case, canonical_json
from bench.kernels.dtypes import DTYPES
from bench.plugins import load_kernel
from bench.results.column_arrays import ColumnArrays, Floats, Mask, Objects, has_numbers, plain
from bench.results.columns import COLUMNS

# Files have fewer distinct cases than this.
KEPT = 1 << 14

# The column, where the rule is broken, and the message for a row.
Rule = tuple[str, Mask, Callable[[int], str]]


class _Cells(NamedTuple):
    """The cells of a row that say which case it is about."""

    kernel: Any
    dtype: Any
    params: Any
    case_id: Any


def case_rules(columns: ColumnArrays) -> Iterator[Rule]:
    """Yield the rules of params, of case_id, and of each column that repeats a parameter."""
    index: dict[_Cells, int] = {}
    rows = map(_Cells, *(columns.texts(name) for name in _Cells._fields))
    codes = np.array([index.setdefault(cells, len(index)) for cells in rows], int)
    params = [_parameters(cells.params) for cells in index]
    for name, check in (("params", _params_fault), ("case_id", _case_id_fault)):
        messages = list(map(check, index, params))
        broken = np.array([message is not None for message in messages], bool)
        yield name, broken[codes], _by_code(messages, codes)
    readable = np.array([known is not None for known in params], bool)[codes]
    for column in COLUMNS:
        if not column.parameter:
            continue
        expected = [known.get(column.name) if known else None for known in params]
        present: Floats | Objects
        if has_numbers(column.name):
            present = columns.numbers(column.name)
            wanted = np.array([_size(value) for value in expected], float)[codes]
            differ = ~((present == wanted) | (np.isnan(present) & np.isnan(wanted)))
        else:
            present = columns.texts(column.name)
            texts = np.empty(len(expected), dtype=object)
            texts[:] = expected
            differ = np.asarray(present != texts[codes], bool)
        yield column.name, readable & differ, _parameter_message(present, expected, codes)


def _size(value: object) -> float:
    """Return a size in params as a float; infinite, which no cell is, for any other value."""
    if value is None:
        return np.nan
    return float(value) if type(value) is int and abs(value) < 2**63 else np.inf


def _parameter_message(
    present: Floats | Objects, expected: list[Any], codes: Any
) -> Callable[[int], str]:
    def message(row: int) -> str:
        wanted, cell = expected[codes[row]], present[row]
        cell = plain(cell) if isinstance(cell, float) else cell
        return f"expected {'none' if wanted is None else wanted} as in params, found {cell}"

    return message


@lru_cache(KEPT)
def _parameters(text: str | None) -> dict[str, Any] | None:
    """Return the parameters in a cell; None where canonical JSON cannot express them."""
    try:
        parameters: dict[str, Any] = json.loads(text or "")
        canonical_json(parameters)
    except (ValueError, RecursionError):
        return None
    return parameters


def _params_fault(cells: _Cells, parameters: dict[str, Any] | None) -> str | None:
    if cells.params is None:
        return None
    if parameters is None:
        return "expected JSON without NaN and infinity"
    if cells.params != canonical_json(parameters):
        return "expected canonical JSON: sorted keys, no spaces"
    return None


def _case_id_fault(cells: _Cells, parameters: dict[str, Any] | None) -> str | None:
    kernel, dtype, text, case_id = cells.kernel, cells.dtype, cells.params, str(cells.case_id)
    known = DTYPES.get(str(dtype))
    prefix = f"{kernel}-{known.short if known else dtype}-"
    if not re.fullmatch(f"{re.escape(prefix)}[0-9a-f]{{10}}", case_id):
        return f"expected {prefix} and 10 hexadecimal digits, found {case_id:.60}"
    expected = _case_id(kernel, text) if parameters is not None and text is not None else None
    if expected is not None and expected != case_id:
        return f"expected {expected} by params, found {case_id:.60}"
    return None


@lru_cache(KEPT)
def _case_id(kernel: str, params: str) -> str | None:
    """Return the case_id of a kernel's parameters, None where the kernel is not known here.

    Files that parameters name are not opened: a result file may come from anywhere.
    """
    known = load_kernel(kernel)
    if known is None:
        return None
    parameters = json.loads(params)
    by_content = [name for name in known.known_by_content if parameters.pop(name, None) is not None]
    try:
        built = known.model_construct(**parameters) if by_content else known(**parameters)
        return Case(built).case_id
    except Exception:  # parameters of another version, or of a form that has no kernel here
        return None


def _by_code(messages: list[str | None], codes: Any) -> Callable[[int], str]:
    return lambda row: str(messages[codes[row]])
