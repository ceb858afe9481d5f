"""The output of `bench claims`: verdicts by sentence, with --details the evidence behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench.analysis.estimate import Estimate
from bench.claims.judge import CaseJudgment, Judgment
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
from bench.text.document import Block, Document, Heading, Lines, Sections, Table, TableColumn
from bench.text.format import with_interval

STYLES = {"supported": "green", "refuted": "bold red", "mixed": "yellow", "untestable": "dim"}
MOST_CASES = 20

COLUMNS = [
    TableColumn("read as", "left", wraps=True, min_width=24),
    TableColumn("verdict", "left"),
    TableColumn("measured"),
    TableColumn("claimed"),
]

# The columns of a row of evidence that the JSON output has.
EVIDENCE_COLUMNS = (
    *("file", "case_id", "chip", "implementation", "item", "started_at", "achieved_tflops"),
    *("source", "source_date", "evidence"),
)


def claims_document(claims: Claims, judgments: Sequence[Judgment], *, details: bool) -> Document:
    """Return the judgments for all formats; `details` is about tables and Markdown."""
    blocks = _detailed(claims, judgments) if details else _verdicts(claims, judgments)
    return Document(
        blocks=blocks,
        records=_records(judgments),
        data=lambda: [_plain(judgment) for judgment in judgments],
    )


def _verdicts(claims: Claims, judgments: Sequence[Judgment]) -> Iterator[Block]:
    """Yield one line per claim under each sentence, and how to measure what is untestable."""
    yield Heading(claims.title, level=2)
    groups = {f"“{text}”": group for text, group in by_sentence(judgments)}
    yield Sections(
        COLUMNS,
        {title: [*map(_line, group)] for title, group in groups.items()},
        styles=STYLES,
        leads={title: overall_verdict(group) for title, group in groups.items()},
    )
    commands = commands_to_measure(judgments)
    if commands:
        yield Heading("These commands would measure what is untestable:")
        yield Lines(commands, role="commands")


def _detailed(claims: Claims, judgments: Sequence[Judgment]) -> Iterator[Block]:
    """Yield each sentence with who said it, its verdicts, and the evidence of each verdict."""
    yield Heading(claims.title, level=2)
    for text, group in by_sentence(judgments):
        claim = group[0].claim
        yield Heading(f"“{text}”")
        origin = f"{claim.by[:1].upper()}{claim.by[1:]}, {claim.on}."
        yield Lines([overall_verdict(group), origin], role="lead")
        yield Table(COLUMNS, [_line(judgment) for judgment in group], styles=STYLES)
        for judgment in group:
            yield from _details(judgment)


def _line(judgment: Judgment) -> list[str]:
    return [
        judgment.claim.reading,
        judgment.verdict,
        value_range(judgment),
        claimed_value(judgment),
    ]


def _details(judgment: Judgment) -> Iterator[Block]:
    claim = judgment.claim
    yield Heading(f"{claim.id}: {judgment.verdict} ({judgment.reason})", level=4)
    lines = [claim.remark] if claim.remark else []
    if claim.formula and claim.expected is not None:
        lines.append(
            f"{claim.formula}: {accepted_values(judgment)}. Refuted if {claim.refuted_if}."
        )
    if judgment.typical:
        lines.append(
            f"Geometric mean over the cases: {with_interval(judgment.typical)} (95 %, bootstrap)."
        )
    yield Lines(lines, role="lead")
    if len(judgment.cases) > 1 or any(case.evidence for case in judgment.cases):
        columns = [
            TableColumn("case", "left", wraps=True),
            TableColumn("value"),
            TableColumn("outcome", "left"),
            TableColumn("evidence", "left", wraps=True),
        ]
        yield Table(columns, [_case(case) for case in judgment.cases[:MOST_CASES]])
    facts = [f"{name}: {source}" for name, source in judgment.facts.items()]
    yield Lines(facts, role="notes")
    if judgment.verdict == "untestable" and claim.measure:
        yield Lines(["What would have to be measured:"], role="lead")
        yield Lines(claim.measure, role="commands")


def _case(case: CaseJudgment) -> list[str]:
    return [case.name, with_interval(case.estimate), case.outcome, evidence(case)]


def _records(judgments: Sequence[Judgment]) -> Iterator[Sequence[object]]:
    """Yield one record per claim and case; a claim without cases has one record."""
    yield [
        *("claim", "sentence", "reading", "verdict", "reason", "relation", "expected"),
        *("case", "outcome", "value", "low", "high"),
    ]
    for judgment in judgments:
        claim = judgment.claim
        first = (
            *(claim.id, claim.sentence, claim.reading, judgment.verdict, judgment.reason),
            *(claim.relation, claim.expected),
        )
        for case in judgment.cases:
            value = case.estimate
            yield [*first, case.name, case.outcome, value.value, value.low, value.high]
        if not judgment.cases:
            yield [*first, *[None] * 5]


def _plain(judgment: Judgment) -> dict[str, Any]:
    """Return a judgment with its rows of evidence."""
    return {
        **judgment.claim.model_dump(mode="json"),
        "verdict": judgment.verdict,
        "reason": judgment.reason,
        "typical": _estimate(judgment.typical),
        "facts": judgment.facts,
        "cases": [
            {
                "case": case.name,
                "outcome": case.outcome,
                **(_estimate(case.estimate) or {}),
                "evidence": [_row(row) for row in case.evidence],
            }
            for case in judgment.cases
        ],
    }


def _estimate(estimate: Estimate | None) -> dict[str, float] | None:
    if estimate is None:
        return None
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _row(row: Row) -> dict[str, object]:
    return {name: row[name] for name in EVIDENCE_COLUMNS if row.get(name) is not None}
