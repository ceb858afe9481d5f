"""Texts about findings that the command line and the report share: values, bounds, evidence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bench.claims.judge import CaseFinding, Finding, allowed
from bench.text.format import UNKNOWN, significant

# A verdict names the readings that support a claim if there are no more than these.
MOST_NAMED = 2


def by_sentence(findings: Iterable[Finding]) -> list[tuple[str, list[Finding]]]:
    """Group the findings by sentence, in order."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.claim.sentence, []).append(finding)
    return list(groups.items())


def value_range(finding: Finding) -> str:
    """Return the range of the cases' values."""
    values = [case.estimate.value for case in finding.cases]
    if not values:
        return UNKNOWN
    low, high = significant(min(values)), significant(max(values))
    return low if low == high else f"{low} to {high}"


def overall_verdict(findings: Sequence[Finding]) -> str:
    """Return one sentence on all readings of a claim; it names the readings that support it."""
    counts = Counter(finding.verdict for finding in findings)
    total = len(findings)
    if total == 1:
        return f"{findings[0].verdict.capitalize()}."
    if len(counts) == 1:
        every = "both" if total == 2 else f"all {total}"
        return f"{findings[0].verdict.capitalize()} in {every} readings."
    parts = [f"{verdict} in {count}" for verdict, count in counts.most_common()]
    supported = [finding for finding in findings if finding.verdict == "supported"]
    named = "; ".join(finding.claim.reading for finding in supported)
    few = 0 < len(supported) <= MOST_NAMED and len(supported) < total / 2
    sentence = f"Of {total} readings, {', '.join(parts)}."
    return f"{sentence} It holds only as: {named}." if few else sentence


def claimed_value(finding: Finding) -> str:
    """Return the value that was claimed, with the tolerance within which it is taken as true."""
    claim = finding.claim
    if claim.expected is None:
        return ""
    relation = {"about": "", "at_least": "≥ ", "at_most": "≤ "}[claim.relation]
    tolerance = f" ± {100 * claim.tolerance:g} %" if claim.tolerance else ""
    return f"{relation}{claim.expected:g}{tolerance}"


def accepted_values(finding: Finding) -> str:
    """Return the values that the claim allows: `at least 0.8`, or `0.27 to 0.33`."""
    low, high = allowed(finding.claim)
    if math.isinf(high):
        return f"at least {significant(low)}"
    if math.isinf(low):
        return f"at most {significant(high)}"
    return f"{significant(low, 4)} to {significant(high, 4)}" if low < high else significant(low, 4)


def evidence(case: CaseFinding) -> str:
    """Return who measured the rows of a case, in the order of the formula's sets."""
    return "; ".join(_origin(row) for row in case.evidence) or UNKNOWN


def _origin(row: Any) -> str:
    if row.get("item"):
        return f"{row['source']}, {row['source_date']}"
    who = row["source"] or f"{row['file']}, {row['started_at']}"
    kind = f"{row['evidence']}, " if row.get("evidence") else ""
    rate = f"{row['chip']} {significant(row['achieved_tflops'])} TFLOP/s"
    return f"{rate} ({kind}{row['implementation']}, {who})"


def commands_to_measure(findings: Iterable[Finding]) -> list[str]:
    """Return the commands that would make untestable claims testable, each once."""
    commands = (
        command
        for finding in findings
        if finding.verdict == "untestable"
        for command in finding.claim.measure
    )
    return list(dict.fromkeys(commands))
