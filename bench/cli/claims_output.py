"""Shows findings: as a table, as Markdown with everything behind them, as JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from bench.analysis.estimate import Estimate
from bench.claims.judge import CaseFinding, Finding, allowed
from bench.claims.load import Claims
from bench.text.format import UNKNOWN, significant, with_interval

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
            table.add_row(verdict, finding.claim.reading, found(finding), claimed(finding))
        console.print()
        console.print(Text(f"“{said}”", style="bold cyan"))
        console.print(table)
        for command in to_measure(group):
            console.print(Text(f"  → {command}", style="cyan"), soft_wrap=True)


def to_measure(findings: Iterable[Finding]) -> list[str]:
    """Return the commands that would make untestable claims testable, each once."""
    commands = (
        command
        for finding in findings
        if finding.verdict == "untestable"
        for command in finding.claim.measure
    )
    return list(dict.fromkeys(commands))


def found(finding: Finding) -> str:
    """Return the range of the cases' values."""
    values = [case.estimate.value for case in finding.cases]
    if not values:
        return UNKNOWN
    low, high = significant(min(values)), significant(max(values))
    return low if low == high else f"{low} to {high}"


def claimed(finding: Finding) -> str:
    """Return the value that was claimed."""
    if finding.claim.expected is None:
        return ""
    relation = {"about": "", "at_least": "≥ ", "at_most": "≤ "}[finding.claim.relation]
    return f"{relation}{finding.claim.expected:g}"


def by_sentence(findings: Iterable[Finding]) -> list[tuple[str, list[Finding]]]:
    """Return the findings in order, under the sentence that each reads."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.claim.sentence, []).append(finding)
    return list(groups.items())


def as_markdown(claims: Claims, findings: Iterable[Finding]) -> str:
    """Return a page: for each sentence its readings and verdicts, then the evidence of each."""
    lines = [f"## {claims.title}", ""]
    for said, group in by_sentence(findings):
        lines += [f"### “{said}”", ""]
        first = group[0].claim
        lines += [f"{first.by[0].upper()}{first.by[1:]}, {first.on}.", ""]
        lines += ["| read as | verdict | found | claimed |", "|---|---|---|---|"]
        for finding in group:
            cells = (finding.claim.reading, f"**{finding.verdict}**", found(finding))
            lines.append(f"| {' | '.join(cells)} | {claimed(finding)} |")
        lines.append("")
        for finding in group:
            lines += [*_details(finding), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _details(finding: Finding) -> list[str]:
    claim = finding.claim
    lines = [f"**{claim.id}**: {finding.verdict} ({finding.reason}). {claim.remark}".rstrip(), ""]
    if claim.formula:
        lines.append(f"`{claim.formula}`, {_band(finding)}. Refuted if {claim.refuted_if}.")
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


def _band(finding: Finding) -> str:
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
