"""How a case of a result file is called in front of people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from bench import plugins
from bench.cases import Case
from bench.dtypes import DTYPES


def case_name(row: Mapping[str, Any]) -> str:
    """Return `matmul bf16 4096×4096×4096`, by a row's kernel, model, dtype and params.

    A case of a kernel that is not here, or whose source does not say everything, is called by what its
    row says.
    """
    model = row.get("model")
    return _named(
        str(row["kernel"]),
        str(row["params"]),
        str(row["dtype"]),
        model if isinstance(model, str) and model else None,
    )


@lru_cache(maxsize=100_000)
def _named(kernel: str, params: str, dtype: str, model: str | None) -> str:
    found = json.loads(params)
    try:
        return Case(plugins.kernels()[kernel](**found), model).title
    except (KeyError, TypeError, ValidationError):
        pass
    short = DTYPES[dtype].short if dtype in DTYPES else dtype
    shape = "×".join(str(found.pop(name)) for name in "mnk" if name in found)
    hidden = ("dtype", "inputs", "cache", "expert_parallel")
    rest = [f"{name}={value}" for name, value in found.items() if name not in hidden]
    return " ".join(part for part in (kernel, short, model, shape, *rest) if part)
