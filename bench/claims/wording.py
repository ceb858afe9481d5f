"""Texts about judgments that the command line and the report share: values, bounds, evidence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bench.claims.judge import CaseJudgment, Judgment, allowed
from bench.text.format import UNKNOWN, significant

# A verdict names the readings that support a claim if there are no more than these.
MOST_NAMED = 2


def by_sentence(judgments: Iterable[Judgment]) -> list[tuple[str, list[Judgment]]]:
    """Group the judgments by sentence, in order."""
    groups: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        groups.setdefault(judgment.claim.sentence, []).append(judgment)
    return list(groups.items())


def value_range(judgment: Judgment) -> str:
    """Return the range of the cases' values."""
    values = [case.estimate.value for case in judgment.cases]
    if not values:
        return UNKNOWN
    low, high = significant(min(values)), significant(max(values))
    return low if low == high else f"{low} to {high}"


def overall_verdict(judgments: Sequence[Judgment]) -> str:
    """Return one sentence on all readings of a claim; it names the readings that support it."""
    counts = Counter(judgment.verdict for judgment in judgments)
    total = len(judgments)
    if total == 1:
        return f"{judgments[0].verdict.capitalize()}."
    if len(counts) == 1:
        every = "both" if total == 2 else f"all {total}"
        return f"{judgments[0].verdict.capitalize()} in {every} readings."
    parts = [f"{verdict} in {count}" for verdict, count in counts.most_common()]
    supported = [judgment for judgment in judgments if judgment.verdict == "supported"]
    named = "; ".join(judgment.claim.reading for judgment in supported)
    few = 0 < len(supported) <= MOST_NAMED and len(supported) < total / 2
    sentence = f"Of {total} readings, {', '.join(parts)}."
    which = "this reading holds" if len(supported) == 1 else "these readings hold"
    return f"{sentence} Only {which}: {named}." if few else sentence


def claimed_value(judgment: Judgment) -> str:
    """Return the value that was claimed, with the tolerance within which it is taken as true."""
    claim = judgment.claim
    if claim.expected is None:
        return ""
    relation = {"about": "", "at_least": "≥ ", "at_most": "≤ "}[claim.relation]
    tolerance = f" ± {100 * claim.tolerance:g} %" if claim.tolerance else ""
    return f"{relation}{claim.expected:g}{tolerance}"


def accepted_values(judgment: Judgment) -> str:
    """Return the values that the claim allows: `at least 0.8`, or `0.27 to 0.33`."""
    low, high = allowed(judgment.claim)
    if math.isinf(high):
        return f"at least {significant(low)}"
    if math.isinf(low):
        return f"at most {significant(high)}"
    return f"{significant(low, 4)} to {significant(high, 4)}" if low < high else significant(low, 4)


def evidence(case: CaseJudgment) -> str:
    """Return who measured the rows of a case, in the order of the formula's sets."""
    return "; ".join(_origin(row) for row in case.evidence) or UNKNOWN


def _origin(row: Any) -> str:
    if row.get("item"):
        return f"{row['source']}, {row['source_date']}"
    who = row["source"] or f"{row['file']}, {row['started_at']}"
    kind = f"{row['evidence']}, " if row.get("evidence") else ""
    rate = f"{row['chip']} {significant(row['achieved_tflops'])} TFLOP/s"
    return f"{rate} ({kind}{row['implementation']}, {who})"


def commands_to_measure(judgments: Iterable[Judgment]) -> list[str]:
    """Return the commands that would make untestable claims testable, each once."""
    commands = (
        command
        for judgment in judgments
        if judgment.verdict == "untestable"
        for command in judgment.claim.measure
    )
    return list(dict.fromkeys(commands))
