"""Reads a config: kernels whose parameters are values or lists of values, and the cases they span.

A list is an axis; the cases are the product of a kernel's axes in the order in which they are
written, the last one fastest. Everything wrong in a file is reported at once, each with its line.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench import plugins
from bench.cases import Case, canonical_json
from bench.errors import UsageError, one_of
from bench.kernels.base import Kernel
from bench.models import get_model, load_models
from bench.validation_text import sentence
from bench.yaml_source import KeyPath, Source, read_yaml

MOST_CASES = 100_000
MOST_PROBLEMS = 50

# Keys of a kernel's block that are not parameters of the kernel.
BLOCK_KEYS = ("kernel", "model", "zip")
TOP_KEYS = ("description", "measurement", "kernels")

Assignment = dict[str, Any]


class Measurement(BaseModel):
    """How precisely and for how long each case is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    precision: Annotated[float, Field(gt=0, lt=1)] = 0.02
    time_budget_s: Annotated[float, Field(gt=0, le=1e6)] = 5.0
    case_timeout_s: Annotated[float, Field(gt=0, le=1e6)] = 600.0
    processes: Annotated[int, Field(ge=1, le=1000, strict=True)] = 1
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = 0


@dataclass(frozen=True)
class Config:
    """A config that is right: its cases in order, without duplicates."""

    name: str
    sha256: str
    description: str
    measurement: Measurement
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Axis:
    """Parameters that vary together: where they stand, and what they are in each step."""

    path: KeyPath
    steps: tuple[Assignment, ...]


@cache
def shipped_configs() -> dict[str, str]:
    """Return the configs that come with the harness: name and description."""
    found = {}
    for file in sorted(resources.files("bench.configs").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".yaml"):
            with resources.as_file(file) as path:
                data = read_yaml(path).data
            found[file.name.removesuffix(".yaml")] = str(data.get("description", ""))
    return found


def find_config(name: str) -> Path:
    """Return the file of a config, given by path or by the name of a shipped one."""
    path = Path(name)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    shipped = resources.files("bench.configs") / f"{name}.yaml"
    if not shipped.is_file():
        raise UsageError(f"no file and no shipped config {name!r}{one_of(name, shipped_configs())}")
    return Path(str(shipped))


def load_config(name: str, *, force: bool = False) -> Config:
    """Return a config by path or shipped name; `force` lifts the bound on the number of cases.

    Raises UsageError with a line for each problem.
    """
    path = find_config(name)
    return build_config(read_yaml(path), path.stem, force=force)


def build_config(source: Source, name: str, *, force: bool = False) -> Config:
    """Return the config that a YAML document describes."""
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
    expanded = [_Block(source, ("kernels", i), problems) for i in range(len(blocks))]
    total = sum(block.size for block in expanded)
    if total > MOST_CASES and not force:
        problems.append(
            source.complain(
                ("kernels",),
                f"the axes span {total:,} cases, more than {MOST_CASES:,}; shorten them, or --force",
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


class _Block:
    """One entry of `kernels:`; the cases that it spans."""

    def __init__(self, source: Source, path: KeyPath, problems: list[str]) -> None:
        self._source = source
        self._path = path
        self._axes: list[Axis] = []
        self._kernel: type[Kernel] | None = None
        self.size = 0
        before = len(problems)
        block = source.data["kernels"][path[1]]
        if not isinstance(block, dict) or "kernel" not in block:
            problems.append(source.complain(path, "expected a mapping with the key `kernel`"))
            return
        known = plugins.kernels()
        name = block["kernel"]
        if not isinstance(name, str) or name not in known:
            text = f"unknown kernel {name!r}{one_of(str(name), known)}"
            problems.append(source.complain((*path, "kernel"), text))
            return
        self._kernel = known[name]
        for key, value in block.items():
            self._add(key, value, problems)
        if len(problems) == before:
            self.size = math.prod(len(axis.steps) for axis in self._axes)

    def _add(self, key: str, value: Any, problems: list[str]) -> None:
        """Add the axis of one key."""
        assert self._kernel is not None
        path = (*self._path, key)
        if key == "kernel":
            return
        if key == "zip":
            groups = value if isinstance(value, list) else [value]
            for number, group in enumerate(groups):
                where = (*path, number) if isinstance(value, list) else path
                self._add_zip(group, where, problems)
            return
        if not self._known(key, path, problems):
            return
        values = value if isinstance(value, list) else [value]
        if not values:
            problems.append(self._source.complain(path, "an empty list spans no case"))
        self._check_models(key, values, path, problems)
        self._axes.append(Axis(path, tuple({key: each} for each in values)))

    def _add_zip(self, group: Any, path: KeyPath, problems: list[str]) -> None:
        """Add parameters that vary together."""
        complain = self._source.complain
        if not isinstance(group, dict) or not group:
            problems.append(complain(path, "expected a mapping of parameters to lists"))
            return
        lengths = {}
        for key, values in group.items():
            if not self._known(key, (*path, key), problems):
                continue
            if not isinstance(values, list) or not values:
                problems.append(complain((*path, key), "expected a list with at least one value"))
                continue
            lengths[key] = len(values)
            self._check_models(key, values, (*path, key), problems)
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{key} has {length}" for key, length in lengths.items())
            problems.append(complain(path, f"lists that vary together need equal lengths: {told}"))
        elif len(lengths) == len(group):
            rows = zip(*group.values(), strict=True)
            steps = tuple(dict(zip(group, row, strict=True)) for row in rows)
            self._axes.append(Axis(path, steps))

    def _known(self, key: str, path: KeyPath, problems: list[str]) -> bool:
        assert self._kernel is not None
        allowed = [*self._kernel.model_fields, *BLOCK_KEYS]
        if key not in allowed:
            text = f"unknown key{one_of(key, allowed)}"
            problems.append(self._source.complain(path, text))
        elif any(key in step for axis in self._axes for step in axis.steps):
            problems.append(self._source.complain(path, "the parameter is given twice"))
        else:
            return True
        return False

    def _check_models(
        self, key: str, values: Sequence[Any], path: KeyPath, problems: list[str]
    ) -> None:
        assert self._kernel is not None
        if key != "model":
            return
        if "experts" not in self._kernel.model_fields:
            text = f"a model gives the shape of a moe_layer, not of {self._kernel.name}"
            problems.append(self._source.complain(path, text))
            return
        known = load_models()
        for value in values:
            if value not in known:
                text = f"unknown model {value!r}{one_of(str(value), known)}"
                problems.append(self._source.complain(path, text))

    def cases(self, problems: list[str]) -> Iterator[Case]:
        """Yield the cases; problems that only a whole case has are added once each."""
        if self._kernel is None:
            return
        for steps in itertools.product(*(axis.steps for axis in self._axes)):
            given: Assignment = {key: value for step in steps for key, value in step.items()}
            model = given.pop("model", None)
            parameters = {**self._shape(model), **given}
            try:
                yield Case(self._kernel(**parameters), model)
            except ValidationError as error:
                for key, text in sentence(error, self._kernel.model_fields):
                    problem = self._source.complain(self._locate(key), text)
                    if problem not in problems:
                        problems.append(problem)
                if len(problems) > MOST_PROBLEMS:
                    return

    def _shape(self, model: str | None) -> Assignment:
        """Return the parameters that a model decides, as far as the kernel has them."""
        if model is None:
            return {}
        assert self._kernel is not None
        shape = get_model(model).moe_layer()
        return {key: value for key, value in shape.items() if key in self._kernel.model_fields}

    def _locate(self, key: str | None) -> KeyPath:
        """Return the path under which a parameter is set, also inside a zip group."""
        if key is None:
            return self._path
        for axis in self._axes:
            if any(key in step for step in axis.steps):
                return axis.path if axis.path[-1] == key else (*axis.path, key)
        return (*self._path, key)


@dataclass(frozen=True)
class Filter:
    """Pairs of a key and the values that it may have, all of which a case has to meet."""

    text: str
    wanted: Mapping[str, frozenset[str]]

    def select(self, cases: Sequence[Case]) -> tuple[Case, ...]:
        """Return the cases that match. Raises UsageError where none does, or a key is unknown."""
        known = {key for case in cases for key in facts(case)}
        for key in self.wanted:
            if key not in known:
                raise UsageError(f"--filter: unknown key {key!r}{one_of(key, sorted(known))}")
        chosen = tuple(case for case in cases if self._matches(facts(case)))
        if not chosen:
            there = "; ".join(
                f"{key} is {', '.join(sorted({str(facts(c).get(key)) for c in cases})[:12])}"
                for key in self.wanted
            )
            raise UsageError(f"--filter: {self.text!r} selects no case; in this config {there}")
        return chosen

    def _matches(self, found: Mapping[str, object]) -> bool:
        return all(str(found.get(key)) in values for key, values in self.wanted.items())


def facts(case: Case) -> dict[str, object]:
    """Return what a filter can ask for: kernel, model, case_id and every parameter."""
    return {
        "kernel": case.kernel.name,
        "model": case.model,
        "case_id": case.case_id,
        **case.kernel.parameters(),
    }


def parse_filter(text: str) -> Filter:
    """Return the filter in `key=value,key=value|value`. Raises UsageError for anything else."""
    wanted = {}
    for part in text.split(","):
        key, equals, values = part.partition("=")
        if not equals or not key.strip() or not values.strip():
            raise UsageError(
                f"--filter: {part!r} is not KEY=VALUE; such as 'kernel=matmul,dtype=bfloat16|int8'"
            )
        wanted[key.strip()] = frozenset(value.strip() for value in values.split("|"))
    return Filter(text, wanted)
