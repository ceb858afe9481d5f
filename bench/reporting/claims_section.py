"""The verdicts on published claims, as a section of a report."""

from __future__ import annotations

from collections.abc import Iterable

from bench.claims.judge import Judgment
from bench.claims.load import Claims
from bench.claims.wording import (
    by_sentence,
    claimed_value,
    commands_to_measure,
    evidence,
    overall_verdict,
    value_range,
)
from bench.reporting.figure import ReportTable, Section

# How many cases' evidence a line names; `bench claims --details` has all of it.
MOST_CASES = 2

HEADER = ("verdict", "read as", "found", "claimed", "rests on")


def claims_section(claims: Claims, judgments: Iterable[Judgment]) -> Section:
    """Return one table per sentence, with one line for each way to read it."""
    tables = [
        ReportTable(
            HEADER,
            [_line(each) for each in group],
            numeric=frozenset({2, 3}),
            caption=f"“{sentence}” {overall_verdict(group)}",
        )
        for sentence, group in by_sentence(judgments)
    ]
    lead = f"{claims.title}. Held against these results and published ones."
    return Section("claims", "What was claimed", lead, tables=tables)


def _line(judgment: Judgment) -> tuple[str, ...]:
    words = (
        judgment.verdict,
        judgment.claim.reading,
        value_range(judgment),
        claimed_value(judgment),
    )
    return (*words, _grounds(judgment))


def _grounds(judgment: Judgment) -> str:
    """Return the reason of a verdict with what it comes from, or what would settle the claim."""
    commands = commands_to_measure([judgment])
    if commands:
        return f"{judgment.reason}; to measure it: {' ; '.join(commands)}"
    known = [evidence(case) for case in judgment.cases if case.evidence]
    more = f"; and {len(known) - MOST_CASES} more" if len(known) > MOST_CASES else ""
    rests = "; ".join(known[:MOST_CASES]) + more
    return f"{judgment.reason}: {rests}" if rests else judgment.reason
