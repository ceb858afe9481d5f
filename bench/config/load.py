"""Reads a config: kernels whose parameters are values or lists, and the cases that they span.

A list is an axis. The cases are the product of a kernel's axes in the order in which they are written;
the last axis varies fastest. All problems of a file are reported at once, each with its line.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench import plugins
from bench.catalog.models import models_by_name
from bench.config.axes import MOST_PROBLEMS, Block
from bench.config.cases import Case, canonical_json
from bench.errors import UsageError, one_of
from bench.kernels.base import Kernel
from bench.yaml_files.source import Source, read_yaml
from bench.yaml_files.validation_text import sentence

if TYPE_CHECKING:
    from importlib.abc import Traversable

MOST_CASES = 100_000

TOP_KEYS = ("description", "measurement", "kernels")


class Measurement(BaseModel):
    """How precisely, and for how long, each case is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    precision: Annotated[float, Field(gt=0, lt=1)] = 0.02
    time_budget_s: Annotated[float, Field(gt=0, le=1e6)] = 5.0
    case_timeout_s: Annotated[float, Field(gt=0, le=1e6)] = 600.0
    rounds: Annotated[int, Field(ge=1, le=1000, strict=True)] = 8
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = 0


@dataclass(frozen=True)
class Config:
    """A valid config, with its cases in order and without duplicates."""

    name: str
    sha256: str
    description: str
    measurement: Measurement
    cases: tuple[Case, ...]


def shipped_folder() -> Traversable:
    """Locate the folder of the shipped configs: in the package, or next to it in a source tree."""
    try:
        return resources.files("bench.config.shipped")
    except ModuleNotFoundError:
        return resources.files("bench").joinpath("..").joinpath("configs")


@cache
def shipped_configs() -> dict[str, str]:
    """Read the descriptions of the shipped configs, by name."""
    descriptions = {}
    for file in sorted(shipped_folder().iterdir(), key=lambda f: f.name):
        if file.name.endswith(".yaml"):
            with resources.as_file(file) as path:
                data = read_yaml(path).data
            descriptions[file.name.removesuffix(".yaml")] = str(data.get("description", ""))
    return descriptions


def find_config(name: str) -> Path:
    """Find the file of a config given by its path or, if it is shipped, by its name."""
    path = Path(name)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    shipped = shipped_folder().joinpath(f"{name}.yaml")
    if not shipped.is_file():
        raise UsageError(
            f"{name!r} is neither a file nor a shipped config{one_of(name, shipped_configs())}"
        )
    return Path(str(shipped))


def load_config(name: str, *, force: bool = False) -> Config:
    """Load a config by its path or shipped name; `force` lifts the limit on the number of cases.

    Raises UsageError with one line per problem.
    """
    path = find_config(name)
    return build_config(read_yaml(path), path.stem, force=force)


def build_config(source: Source, name: str, *, force: bool = False) -> Config:
    """Build a config from a YAML document. Raises UsageError with one line per problem."""
    problems: list[str] = []
    data = source.data
    if not isinstance(data, dict):
        raise UsageError(
            source.complain((), "expected a mapping with `kernels:`; see docs/config.md")
        )
    for key in data:
        if key not in TOP_KEYS:
            problems.append(source.complain((key,), f"unknown key{one_of(key, TOP_KEYS)}"))
    description = data.get("description", "")
    if not isinstance(description, str):
        problems.append(source.complain(("description",), "expected text"))
    measurement = _measurement(source, problems)
    blocks = data.get("kernels")
    if not isinstance(blocks, list) or not blocks:
        problems.append(source.complain(("kernels",), "expected a list of kernels, at least one"))
        blocks = []
    expanded = [Block(source, ("kernels", i), problems) for i in range(len(blocks))]
    total = sum(block.size for block in expanded)
    if total > MOST_CASES and not force:
        problems.append(
            source.complain(
                ("kernels",),
                f"the axes span {total:,} cases, more than {MOST_CASES:,}; shorten them or use --force",
            )
        )
    cases: dict[str, Case] = {}
    if not problems:
        for block in expanded:
            for case in block.cases(problems):
                cases.setdefault(case.case_id, case)
    if problems:
        unique = list(dict.fromkeys(problems))
        more = len(unique) - MOST_PROBLEMS
        unique[MOST_PROBLEMS:] = [f"{source.name}: and {more} more"] if more > 0 else []
        raise UsageError("\n".join(unique))
    content = canonical_json(data)
    return Config(
        name=name,
        sha256=hashlib.sha256(content.encode()).hexdigest(),
        description=description,
        measurement=measurement,
        cases=tuple(cases.values()),
    )


def _measurement(source: Source, problems: list[str]) -> Measurement:
    given = source.data.get("measurement") or {}
    if not isinstance(given, dict):
        problems.append(source.complain(("measurement",), "expected a mapping"))
        return Measurement()
    try:
        return Measurement(**given)
    except ValidationError as error:
        for key, text in sentence(error, Measurement.model_fields):
            problems.append(
                source.complain(("measurement", key) if key else ("measurement",), text)
            )
        return Measurement()


def config_schema() -> dict[str, Any]:
    """Build the JSON schema of configs for editors; each parameter may be a value or a list."""
    kernels = plugins.kernels()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bench config",
        "type": "object",
        "properties": {
            "description": {"type": "string"},
            "measurement": Measurement.model_json_schema(),
            "kernels": {
                "type": "array",
                "minItems": 1,
                "items": {"oneOf": [_block_schema(kernel) for kernel in kernels.values()]},
            },
        },
        "required": ["kernels"],
        "additionalProperties": False,
    }


def _block_schema(kernel: type[Kernel]) -> dict[str, Any]:
    """Build the schema of one entry of `kernels:`."""
    axes = {
        name: {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}
        for name, schema in kernel.model_json_schema()["properties"].items()
    }
    if "hidden" in axes:
        one = {"enum": list(models_by_name())}
        axes["model"] = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
    together = {"type": "object", "additionalProperties": {"type": "array", "minItems": 1}}
    return {
        "type": "object",
        "description": (kernel.__doc__ or "").strip(),
        "properties": {
            "kernel": {"const": kernel.name},
            "zip": {"anyOf": [together, {"type": "array", "items": together}]},
            **axes,
        },
        "required": ["kernel"],
        "additionalProperties": False,
    }
