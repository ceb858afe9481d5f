"""`--filter`: picks cases by kernel, model and parameters; result rows by every column as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.config.cases import Case
from bench.errors import UsageError, one_of


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
            there = {key: {str(facts(c).get(key)) for c in cases} for key in self.wanted}
            raise self.nothing_selected("case", "this config", there)
        return chosen

    def nothing_selected(
        self, what: str, where: str, there: Mapping[str, Iterable[str]]
    ) -> UsageError:
        """Return the error for a filter that nothing meets; `there` are the values by key."""
        values = "; ".join(f"{key} is {', '.join(sorted(there[key])[:12])}" for key in there)
        return UsageError(f"--filter: {self.text!r} selects no {what}; in {where} {values}")

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
