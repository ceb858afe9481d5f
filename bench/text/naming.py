"""How a case of a result file is called in front of people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from bench import plugins
from bench.config.cases import Case
from bench.kernels.dtypes import DTYPES
from bench.text.format import printable

# What the name of a case of an unknown kernel does without.
SAID_ELSEWHERE = ("dtype", "inputs", "cache", "expert_parallel")
SAID_BY_MODEL = ("hidden", "intermediate", "experts", "top_k")


def case_name(row: Mapping[str, Any]) -> str:
    """Return `matmul bf16 4096×4096×4096`, by a row's kernel, model, dtype and params.

    A case of a kernel that is not here, or whose source does not say everything, is called by what its
    row says.
    """
    return _named(*_facts(row))[0]


def case_shape(row: Mapping[str, Any]) -> str:
    """Return what tells a row's case from others of its kernel and dtype, such as `4096×4096×4096`."""
    return _named(*_facts(row))[1]


def _facts(row: Mapping[str, Any]) -> tuple[str, str, str, str | None]:
    model = row.get("model")
    named = model if isinstance(model, str) and model else None
    return str(row["kernel"]), str(row["params"]), str(row["dtype"]), named


@lru_cache(maxsize=100_000)
def _named(kernel: str, params: str, dtype: str, model: str | None) -> tuple[str, str]:
    """Return the name and the shape of a case."""
    found = json.loads(params)
    try:
        case = Case(plugins.kernels()[kernel](**found), model)
        return printable(case.title), printable(case.shape)
    except (KeyError, TypeError, ValidationError):
        pass
    short = DTYPES[dtype].short if dtype in DTYPES else dtype
    sizes = "×".join(str(found.pop(name)) for name in "mnk" if name in found)
    hidden = [*SAID_ELSEWHERE, *(SAID_BY_MODEL if model else ())]
    if found.get("pass") == "forward":
        hidden.append("pass")
    rest = [f"{name}={value}" for name, value in found.items() if name not in hidden]
    shape = " ".join(part for part in (model, sizes, *rest) if part)
    return printable(f"{kernel} {short} {shape}"), printable(shape)
