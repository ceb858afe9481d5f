"""Names of cases: in full, and shorter under headings that contain the rest.

A name is made from the result row alone, so that rows of kernels that are not installed have one too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from bench import plugins
from bench.config.cases import Case
from bench.kernels.dtypes import short_dtype
from bench.text.format import printable

# Parameters that the name of a case of an unknown kernel omits, because other parts imply them.
IMPLIED = ("dtype", "inputs", "cache")
IMPLIED_BY_MODEL = ("hidden", "intermediate", "experts", "top_k")

# Implementations that a name omits.
EXPECTED_IMPLEMENTATIONS = ("torch", "best", None)


def case_name(row: Mapping[str, Any]) -> str:
    """Return the full name, `matmul bf16 4096×4096×4096`, from a row's kernel, model, dtype and params.

    For a kernel that is not installed, or params that it rejects, the name lists the row's parameters.
    """
    return _name_and_shape(*_identity(row))[0]


def case_shape(row: Mapping[str, Any]) -> str:
    """Return the part of the name that differs within a kernel and dtype: `4096×4096×4096`."""
    return _name_and_shape(*_identity(row))[1]


def dtype_and_variant(row: Mapping[str, Any], shape: str) -> str:
    """Return the name under a heading with the kernel: `bf16 4096×4096×4096 hot (triton)`."""
    return f"{short_dtype(str(row['dtype']))} {variant(row, shape)}"


def variant(row: Mapping[str, Any], shape: str) -> str:
    """Return the name under a heading with kernel and dtype: `4096×4096×4096 hot (triton)`."""
    implementation = row["implementation"]
    parts = [
        shape,
        "hot" if row["cache"] == "hot" else "",
        "graph" if row["timing"] == "graph" else "",
        "" if implementation in EXPECTED_IMPLEMENTATIONS else f"({implementation})",
    ]
    return " ".join(part for part in parts if part)


def with_stage(name: str, row: Mapping[str, Any]) -> str:
    """Append the stage to the name of a case if the row measures a stage."""
    stage = row.get("stage")
    return f"{name}, {stage}" if stage else name


def dtype_and_size(row: Mapping[str, Any]) -> str:
    """Return the name of a row of evidence: dtype with model and tokens, or with m×n×k.

    Rows of the price table are named by their `item`.
    """
    if "item" in row:
        return str(row["item"])
    short = short_dtype(str(row["dtype"]))
    if row.get("tokens") is not None:
        return f"{short} {layer_name(row)} {row['tokens']} tokens {row['routing'] or ''}".strip()
    if row.get("m") is not None:
        return f"{short} {row['m']}×{row['n']}×{row['k']}"
    return str(row["case_id"])


def layer_name(row: Mapping[Any, Any]) -> str:
    """Return the model or shape of a layer, and the number of devices that share its experts."""
    model = row["model"]
    if not isinstance(model, str):
        model = f"{row['experts']}×{row['hidden']}×{row['intermediate']}"
    devices = row["expert_parallel"]
    spread = isinstance(devices, int) and devices != 1
    return f"{model}/{devices}" if spread else model


def _identity(row: Mapping[str, Any]) -> tuple[str, str, str, str | None]:
    """Return kernel, params, dtype and model of a row."""
    model = row.get("model")
    known = model if isinstance(model, str) and model else None
    return str(row["kernel"]), str(row["params"]), str(row["dtype"]), known


@lru_cache(maxsize=100_000)
def _name_and_shape(kernel: str, params: str, dtype: str, model: str | None) -> tuple[str, str]:
    """Return the name and the shape of a case."""
    parameters = json.loads(params)
    try:
        case = Case(plugins.kernels()[kernel](**parameters), model)
        return printable(case.title), printable(case.shape)
    except (KeyError, TypeError, ValidationError):
        pass
    sizes = "×".join(str(parameters.pop(name)) for name in "mnk" if name in parameters)
    hidden = [*IMPLIED, *(IMPLIED_BY_MODEL if model else ())]
    usual = {"pass": "forward", "expert_parallel": 1}
    hidden += [name for name, value in usual.items() if parameters.get(name) == value]
    rest = [f"{name}={value}" for name, value in parameters.items() if name not in hidden]
    shape = " ".join(part for part in (model, sizes, *rest) if part)
    return printable(f"{kernel} {short_dtype(dtype)} {shape}"), printable(shape)
