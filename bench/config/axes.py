"""Expands one kernel's block of a config into its axes and their product, the cases."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bench import plugins
from bench.catalog.models import get_model, models_by_name
from bench.config.cases import Case
from bench.errors import one_of
from bench.kernels.base import Kernel
from bench.kernels.moe.base import PHASES
from bench.yaml_files.source import KeyPath, Source, brief
from bench.yaml_files.validation_text import sentence

# Keys of a block that are not parameters of its kernel.
BLOCK_KEYS = ("kernel", "model", "phase", "zip")

# If every case of a block is wrong, only this many problems are reported.
MOST_PROBLEMS = 50

EMPTY = "the list is empty; expected at least one value"

# No device has this much memory; a typing error may ask for it.
MOST_BYTES = 1 << 46

Assignment = dict[str, Any]


@dataclass(frozen=True)
class Axis:
    """Parameters that vary together: their place in the file, and their values in each step."""

    path: KeyPath
    steps: tuple[Assignment, ...]


class Block:
    """One entry of `kernels:`, and the cases that it spans."""

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
            text = f"unknown kernel {brief(name)}{one_of(str(name), known)}"
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
            if not groups:
                problems.append(self._source.complain(path, EMPTY))
            for number, group in enumerate(groups):
                where = (*path, number) if isinstance(value, list) else path
                self._add_zip(group, where, problems)
            return
        if not self._known(key, path, problems):
            return
        values = value if isinstance(value, list) else [value]
        if not values:
            problems.append(self._source.complain(path, EMPTY))
        if key == "phase":
            self._add_phases(values, path, problems)
            return
        self._check_models(key, values, path, problems)
        self._axes.append(Axis(path, tuple({key: each} for each in values)))

    def _add_phases(self, values: Sequence[Any], path: KeyPath, problems: list[str]) -> None:
        """Add an axis with the numbers of tokens of serving phases."""
        unknown = [value for value in values if not isinstance(value, str) or value not in PHASES]
        for value in unknown:
            named = isinstance(value, str)
            text = f"unknown phase {brief(value)}{one_of(value if named else '', PHASES)}"
            problems.append(self._source.complain(path, text))
        if not unknown and self._known("tokens", path, problems):
            tokens = (count for value in values for count in PHASES[value])
            self._axes.append(Axis(path, tuple({"tokens": count} for count in tokens)))

    def _add_zip(self, group: Any, path: KeyPath, problems: list[str]) -> None:
        """Add an axis of parameters that vary together."""
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
            each = ", ".join(f"{key} has {length}" for key, length in lengths.items())
            problems.append(complain(path, f"lists that vary together need equal lengths: {each}"))
        elif len(lengths) == len(group):
            rows = zip(*group.values(), strict=True)
            steps = tuple(dict(zip(group, row, strict=True)) for row in rows)
            self._axes.append(Axis(path, steps))

    def _known(self, key: str, path: KeyPath, problems: list[str]) -> bool:
        assert self._kernel is not None
        allowed = [*self._kernel.parameter_names(), *BLOCK_KEYS]
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
        if "hidden" not in self._kernel.parameter_names():
            text = f"{self._kernel.name} has no model; a model sets the shape of mixture-of-experts kernels"
            problems.append(self._source.complain(path, text))
            return
        known = models_by_name()
        for value in values:
            if not isinstance(value, str):
                text = f"expected the name of a model, got {brief(value)}"
                problems.append(self._source.complain(path, text))
            elif value not in known:
                text = f"unknown model {brief(value)}{one_of(value, known)}"
                problems.append(self._source.complain(path, text))

    def cases(self, problems: list[str]) -> Iterator[Case]:
        """Yield the cases; problems that depend on several parameters are added once each."""
        if self._kernel is None:
            return
        idle = {key for axis in self._axes for step in axis.steps for key in step}
        for steps in itertools.product(*(axis.steps for axis in self._axes)):
            given: Assignment = {key: value for step in steps for key, value in step.items()}
            model = given.pop("model", None)
            parameters = {**self._shape(model), **given}
            try:
                case = Case(self._kernel(**parameters), get_model(model).id if model else None)
            except ValidationError as error:
                for key, text in sentence(error, self._kernel.parameter_names()):
                    problem = self._source.complain(self._locate(key), text)
                    if problem not in problems:
                        problems.append(problem)
                if len(problems) > MOST_PROBLEMS:
                    return
            else:
                reasons = case.kernel.idle_parameters()
                idle &= reasons.keys()
                if (size := case.kernel.memory_bytes()) > MOST_BYTES:
                    problems.append(self._too_large(size, given))
                    if len(problems) > MOST_PROBLEMS:
                        return
                yield case
        if not problems:
            for key in sorted(idle):
                text = f"has no effect in any case here: {reasons[key]}"
                problems.append(self._source.complain(self._locate(key), text))

    def _too_large(self, size: int, given: Assignment) -> str:
        """Describe a case that no device can hold, at the line of its largest parameter."""
        sizes = {key: value for key, value in given.items() if isinstance(value, int)}
        key = max(sizes, key=sizes.__getitem__, default=None)
        text = f"the case takes {size / 2**40:.3g} TiB of memory; at most {MOST_BYTES >> 40} are allowed"
        return self._source.complain(self._locate(key), text)

    def _shape(self, model: str | None) -> Assignment:
        """Look up the parameters of this kernel that a model sets."""
        if model is None:
            return {}
        assert self._kernel is not None
        shape = get_model(model).moe_layer()
        return {key: value for key, value in shape.items() if key in self._kernel.parameter_names()}

    def _locate(self, key: str | None) -> KeyPath:
        """Find the path at which a parameter is set, which may be inside a zip group."""
        if key is None:
            return self._path
        for axis in self._axes:
            if any(key in step for step in axis.steps):
                return axis.path if axis.path[-1] == key else (*axis.path, key)
        return (*self._path, key)
