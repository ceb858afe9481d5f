"""Shows findings: as a table, as Markdown with everything behind them, as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from bench.analysis.estimate import Estimate
from bench.claims.judge import Finding
from bench.claims.load import Claims
from bench.claims.wording import (
    accepted_values,
    by_sentence,
    claimed_value,
    commands_to_measure,
    evidence,
    value_range,
)
from bench.text.format import with_interval

STYLES = {"supported": "green", "refuted": "bold red", "mixed": "yellow", "untestable": "dim"}
MOST_CASES = 20


def print_table(claims: Claims, findings: Iterable[Finding]) -> None:
    """Print a line a claim under each sentence."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    console.print(Text(claims.title, style="bold"))
    for said, group in by_sentence(findings):
        table = Table(
            box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False, expand=True
        )
        table.add_column(no_wrap=True, width=10)
        table.add_column(overflow="fold", ratio=1)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True)
        for finding in group:
            verdict = Text(finding.verdict, style=STYLES[finding.verdict])
            table.add_row(
                verdict, finding.claim.reading, value_range(finding), claimed_value(finding)
            )
        console.print()
        console.print(Text(f"“{said}”", style="bold cyan"))
        console.print(table)
        for command in commands_to_measure(group):
            console.print(Text(f"  → {command}", style="cyan"), soft_wrap=True)


def as_markdown(claims: Claims, findings: Iterable[Finding]) -> str:
    """Return a page: for each sentence its readings and verdicts, then the evidence of each."""
    lines = [f"## {claims.title}", ""]
    for said, group in by_sentence(findings):
        lines += [f"### “{said}”", ""]
        first = group[0].claim
        lines += [f"{first.by[0].upper()}{first.by[1:]}, {first.on}.", ""]
        lines += ["| read as | verdict | found | claimed |", "|---|---|---|---|"]
        for finding in group:
            cells = (finding.claim.reading, f"**{finding.verdict}**", value_range(finding))
            lines.append(f"| {' | '.join(cells)} | {claimed_value(finding)} |")
        lines.append("")
        for finding in group:
            lines += [*_details(finding), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _details(finding: Finding) -> list[str]:
    claim = finding.claim
    lines = [f"**{claim.id}**: {finding.verdict} ({finding.reason}). {claim.remark}".rstrip(), ""]
    if claim.formula:
        lines.append(
            f"`{claim.formula}`, {accepted_values(finding)}. Refuted if {claim.refuted_if}."
        )
    if finding.typical:
        lines.append(
            f"Geometric mean over the cases: {with_interval(finding.typical)} (95 %, bootstrap)."
        )
    lines = [*lines, ""]
    if len(finding.cases) > 1 or any(case.evidence for case in finding.cases):
        shown = finding.cases[:MOST_CASES]
        lines += ["| case | value | | evidence |", "|---|---|---|---|"]
        lines += [
            f"| {case.name} | {with_interval(case.estimate)} | {case.outcome} | {evidence(case)} |"
            for case in shown
        ]
        lines += [""]
    lines += [f"- `{name}`: {source}" for name, source in finding.facts.items()]
    if finding.verdict == "untestable" and claim.measure:
        lines += ["What would have to be measured:", "", "```sh", *claim.measure, "```"]
    return lines


def as_json(findings: Iterable[Finding]) -> str:
    """Return the findings for other programs."""
    return json.dumps([_plain(finding) for finding in findings], indent=2, ensure_ascii=False)


def _plain(finding: Finding) -> dict[str, Any]:
    claim = finding.claim
    return {
        **claim.model_dump(mode="json"),
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


def _row(row: Any) -> dict[str, Any]:
    names = "file case_id chip implementation item started_at achieved_tflops source source_date evidence"
    return {name: row[name] for name in names.split() if row.get(name) is not None}
