"""The output of `bench claims`: verdicts by sentence, with --details the evidence behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench.analysis.estimate import Estimate
from bench.claims.judge import CaseFinding, Finding
from bench.claims.load import Claims
from bench.claims.wording import (
    accepted_values,
    by_sentence,
    claimed_value,
    commands_to_measure,
    evidence,
    overall_verdict,
    value_range,
)
from bench.results.columns import Row
from bench.text.document import Block, Column, Document, Heading, Lines, Sections, Table
from bench.text.format import with_interval

STYLES = {"supported": "green", "refuted": "bold red", "mixed": "yellow", "untestable": "dim"}
MOST_CASES = 20

COLUMNS = [
    Column("read as", "left", wraps=True, min_width=24),
    Column("verdict", "left"),
    Column("measured"),
    Column("claimed"),
]

# The columns of a row of evidence that the JSON output has.
EVIDENCE_COLUMNS = (
    *("file", "case_id", "chip", "implementation", "item", "started_at", "achieved_tflops"),
    *("source", "source_date", "evidence"),
)


def claims_document(claims: Claims, findings: Sequence[Finding], *, details: bool) -> Document:
    """Return the findings for all formats; `details` is about tables and Markdown."""
    blocks = _detailed(claims, findings) if details else _verdicts(claims, findings)
    return Document(
        blocks=blocks,
        records=_records(findings),
        data=lambda: [_plain(finding) for finding in findings],
    )


def _verdicts(claims: Claims, findings: Sequence[Finding]) -> Iterator[Block]:
    """Yield one line per claim under each sentence, and how to measure what is untestable."""
    yield Heading(claims.title, level=2)
    groups = {f"“{text}”": group for text, group in by_sentence(findings)}
    yield Sections(
        COLUMNS,
        {title: [*map(_line, group)] for title, group in groups.items()},
        styles=STYLES,
        leads={title: overall_verdict(group) for title, group in groups.items()},
    )
    commands = commands_to_measure(findings)
    if commands:
        yield Heading("These commands would measure what is untestable:")
        yield Lines(commands, role="commands")


def _detailed(claims: Claims, findings: Sequence[Finding]) -> Iterator[Block]:
    """Yield each sentence with who said it, its verdicts, and the evidence of each verdict."""
    yield Heading(claims.title, level=2)
    for text, group in by_sentence(findings):
        claim = group[0].claim
        yield Heading(f"“{text}”")
        origin = f"{claim.by[:1].upper()}{claim.by[1:]}, {claim.on}."
        yield Lines([overall_verdict(group), origin], role="lead")
        yield Table(COLUMNS, [_line(finding) for finding in group], styles=STYLES)
        for finding in group:
            yield from _details(finding)


def _line(finding: Finding) -> list[str]:
    return [
        finding.claim.reading,
        finding.verdict,
        value_range(finding),
        claimed_value(finding),
    ]


def _details(finding: Finding) -> Iterator[Block]:
    claim = finding.claim
    yield Heading(f"{claim.id}: {finding.verdict} ({finding.reason})", level=4)
    lines = [claim.remark] if claim.remark else []
    if claim.formula and claim.expected is not None:
        lines.append(f"{claim.formula}: {accepted_values(finding)}. Refuted if {claim.refuted_if}.")
    if finding.typical:
        lines.append(
            f"Geometric mean over the cases: {with_interval(finding.typical)} (95 %, bootstrap)."
        )
    yield Lines(lines, role="lead")
    if len(finding.cases) > 1 or any(case.evidence for case in finding.cases):
        columns = [
            Column("case", "left", wraps=True),
            Column("value"),
            Column("outcome", "left"),
            Column("evidence", "left", wraps=True),
        ]
        yield Table(columns, [_case(case) for case in finding.cases[:MOST_CASES]])
    facts = [f"{name}: {source}" for name, source in finding.facts.items()]
    yield Lines(facts, role="notes")
    if finding.verdict == "untestable" and claim.measure:
        yield Lines(["What would have to be measured:"], role="lead")
        yield Lines(claim.measure, role="commands")


def _case(case: CaseFinding) -> list[str]:
    return [case.name, with_interval(case.estimate), case.outcome, evidence(case)]


def _records(findings: Sequence[Finding]) -> Iterator[Sequence[object]]:
    """Yield one record per claim and case; a claim without cases has one record."""
    yield [
        *("claim", "sentence", "reading", "verdict", "reason", "relation", "expected"),
        *("case", "outcome", "value", "low", "high"),
    ]
    for finding in findings:
        claim = finding.claim
        first = (
            *(claim.id, claim.sentence, claim.reading, finding.verdict, finding.reason),
            *(claim.relation, claim.expected),
        )
        for case in finding.cases:
            value = case.estimate
            yield [*first, case.name, case.outcome, value.value, value.low, value.high]
        if not finding.cases:
            yield [*first, *[None] * 5]


def _plain(finding: Finding) -> dict[str, Any]:
    """Return a finding with its rows of evidence."""
    return {
        **finding.claim.model_dump(mode="json"),
        "verdict": finding.verdict,
        "reason": finding.reason,
        "typical": _estimate(finding.typical),
        "facts": finding.facts,
        "cases": [
            {
                "case": case.name,
                "outcome": case.outcome,
                **(_estimate(case.estimate) or {}),
                "evidence": [_row(row) for row in case.evidence],
            }
            for case in finding.cases
        ],
    }


def _estimate(estimate: Estimate | None) -> dict[str, float] | None:
    if estimate is None:
        return None
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _row(row: Row) -> dict[str, object]:
    return {name: row[name] for name in EVIDENCE_COLUMNS if row.get(name) is not None}
