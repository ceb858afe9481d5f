"""The verdicts on published claims, as a section of a report."""

from __future__ import annotations

from collections.abc import Iterable

from bench.claims.judge import Finding
from bench.claims.load import Claims
from bench.claims.wording import (
    by_sentence,
    claimed_value,
    commands_to_measure,
    evidence,
    overall_verdict,
    value_range,
)
from bench.reporting.figure import Section, Table

# How many cases' evidence a line names; `bench claims --details` has all of it.
MOST_CASES = 2

HEADER = ("verdict", "read as", "found", "claimed", "rests on")


def claims_section(claims: Claims, findings: Iterable[Finding]) -> Section:
    """Return one table per sentence, with one line for each way to read it."""
    tables = [
        Table(
            HEADER,
            [_line(each) for each in group],
            numeric=frozenset({2, 3}),
            caption=f"“{said}” {overall_verdict(group)}",
        )
        for said, group in by_sentence(findings)
    ]
    lead = f"{claims.title}. Held against these results and published ones."
    return Section("claims", "What was claimed", lead, tables=tables)


def _line(finding: Finding) -> tuple[str, ...]:
    words = (finding.verdict, finding.claim.reading, value_range(finding), claimed_value(finding))
    return (*words, _grounds(finding))


def _grounds(finding: Finding) -> str:
    """Return the reason of a verdict with what it comes from, or what would settle the claim."""
    commands = commands_to_measure([finding])
    if commands:
        return f"{finding.reason}; to measure it: {' ; '.join(commands)}"
    known = [evidence(case) for case in finding.cases if case.evidence]
    more = f"; and {len(known) - MOST_CASES} more" if len(known) > MOST_CASES else ""
    rests = "; ".join(known[:MOST_CASES]) + more
    return f"{finding.reason}: {rests}" if rests else finding.reason
