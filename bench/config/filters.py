"""`--filter`: selects cases by kernel, model and parameters, and result rows by any column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.config.cases import Case
from bench.errors import UsageError, one_of


@dataclass(frozen=True)
class Filter:
    """Keys and the values that each may have; a case must match every key."""

    text: str
    wanted: Mapping[str, frozenset[str]]

    def select(self, cases: Sequence[Case]) -> tuple[Case, ...]:
        """Select the matching cases. Raises UsageError if there are none, or a key is unknown."""
        known = {key for case in cases for key in filterable(case)}
        for key in self.wanted:
            if key not in known:
                raise UsageError(f"--filter: unknown key {key!r}{one_of(key, sorted(known))}")
        chosen = tuple(case for case in cases if self._matches(filterable(case)))
        if not chosen:
            present = {key: {str(filterable(c).get(key)) for c in cases} for key in self.wanted}
            raise self.nothing_selected("case", "this config", present)
        return chosen

    def nothing_selected(
        self, what: str, where: str, present: Mapping[str, Iterable[str]]
    ) -> UsageError:
        """Build the error for a filter without a match; `present` has the existing values by key."""
        values = "; ".join(f"{key} is {', '.join(sorted(present[key])[:12])}" for key in present)
        return UsageError(f"--filter: {self.text!r} selects no {what}; in {where} {values}")

    def _matches(self, properties: Mapping[str, object]) -> bool:
        return all(str(properties.get(key)) in values for key, values in self.wanted.items())


def filterable(case: Case) -> dict[str, object]:
    """List the properties that a filter can test: kernel, model, case_id and all parameters."""
    return {
        "kernel": case.kernel.name,
        "model": case.model,
        "case_id": case.case_id,
        **case.kernel.parameters(),
    }


def parse_filter(text: str) -> Filter:
    """Parse `key=value,key=value|value`. Raises UsageError for anything else."""
    wanted = {}
    for part in text.split(","):
        key, equals, values = part.partition("=")
        if not equals or not key.strip() or not values.strip():
            raise UsageError(
                f"--filter: {part!r} is not KEY=VALUE; example: 'kernel=matmul,dtype=bfloat16|int8'"
            )
        wanted[key.strip()] = frozenset(value.strip() for value in values.split("|"))
    return Filter(text, wanted)
