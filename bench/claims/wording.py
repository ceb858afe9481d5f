"""Texts about findings that the command line and the report share: values, bounds, evidence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from bench.claims.judge import CaseFinding, Finding, allowed
from bench.text.format import UNKNOWN, significant


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


def claimed_value(finding: Finding) -> str:
    """Return the value that was claimed."""
    if finding.claim.expected is None:
        return ""
    relation = {"about": "", "at_least": "≥ ", "at_most": "≤ "}[finding.claim.relation]
    return f"{relation}{finding.claim.expected:g}"


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
