"""Tests claims against rows: one value per case, whether it is as claimed, and a verdict.

supported   the value of every case, with its interval, is within what the claim allows
refuted     the value of every case is outside
mixed       some are within and some outside; the finding says which
untestable  there is nothing to compute it from, or the intervals are too wide
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.analysis.estimate import Estimate
from bench.analysis.row_estimates import geometric_mean, number, row_estimate
from bench.catalog.prices import api_prices
from bench.claims.expression import Expression, ExpressionError, Reference
from bench.claims.load import Claim, Claims
from bench.errors import UsageError
from bench.results.columns import Row
from bench.text.naming import dtype_and_size

Verdict = Literal["supported", "refuted", "mixed", "untestable"]
Outcome = Literal["holds", "fails", "undecided"]


@dataclass(frozen=True)
class CaseFinding:
    """The value of a claim's formula for one case, and the rows that it was computed from."""

    name: str
    estimate: Estimate
    outcome: Outcome
    evidence: tuple[Row, ...]


@dataclass(frozen=True)
class Finding:
    """The verdict on a claim, with its evidence; `typical` is the geometric mean over several cases."""

    claim: Claim
    verdict: Verdict
    reason: str
    cases: tuple[CaseFinding, ...] = ()
    typical: Estimate | None = None
    facts: dict[str, str] = field(default_factory=dict)


def judge(claims: Claims, rows: Iterable[Row]) -> list[Finding]:
    """Return one finding per claim. The caller must leave out simulated rows.

    Rows that are not ok and rows of single stages are ignored.
    """
    ok = [row for row in rows if row["status"] == "ok" and row.get("stage") is None]
    return [_judge_one(claims, claim, formula, ok) for claim, formula in claims.claims]


def _judge_one(
    claims: Claims, claim: Claim, formula: Expression | None, rows: list[Row]
) -> Finding:
    if formula is None or claim.expected is None:
        return Finding(claim, "untestable", "nothing published decides it")
    facts = {
        reference.name: claims.facts[reference.name].origin
        for reference in sorted(formula.references(), key=str)
        if reference.rows is None
    }
    cases = _cases(claim, formula, rows)
    if not cases:
        missing = _missing(claim, rows)
        if not claim.measure:
            text = f"{missing}; list in `measure` what has to be measured"
            raise UsageError(claims.complain(claim, text))
        return Finding(claim, "untestable", missing, facts=facts)
    findings = []
    for name, chosen in cases.items():

        def value_of(reference: Reference, chosen: Mapping[str, Row] = chosen) -> Estimate:
            if reference.rows is None:
                return claims.facts[reference.name].estimate
            return row_estimate(chosen[reference.rows], reference.name)

        try:
            estimate = formula.evaluate(value_of)
        except ExpressionError as error:
            raise UsageError(claims.complain(claim, f"formula: {name}: {error}")) from None
        outcome = _outcome(claim, estimate)
        findings.append(CaseFinding(name, estimate, outcome, tuple(chosen.values())))
    verdict, reason = _verdict(findings)
    typical = geometric_mean([case.estimate for case in findings])
    return Finding(claim, verdict, reason, tuple(findings), typical, facts)


def allowed(claim: Claim) -> tuple[float, float]:
    """Return the bounds within which a value is as claimed."""
    assert claim.expected is not None
    low, high = (claim.expected * (1 - claim.tolerance), claim.expected * (1 + claim.tolerance))
    if claim.relation == "at_least":
        return low, math.inf
    return (-math.inf, high) if claim.relation == "at_most" else (low, high)


def _outcome(claim: Claim, estimate: Estimate) -> Outcome:
    low, high = allowed(claim)
    if low <= estimate.low and estimate.high <= high:
        return "holds"
    return "fails" if estimate.high < low or estimate.low > high else "undecided"


def _verdict(cases: list[CaseFinding]) -> tuple[Verdict, str]:
    count = len(cases)
    holds, fails = (
        sum(case.outcome == outcome for case in cases) for outcome in ("holds", "fails")
    )
    of = f"of {count} cases" if count > 1 else "of one case"
    if holds == count:
        return "supported", f"all {count} cases" if count > 1 else "the one case"
    if fails == count:
        return "refuted", f"none {of}"
    if not holds and not fails:
        return "untestable", f"the intervals {of} are too wide; measure with more samples"
    return "mixed", f"{holds} {of}, {fails} not, {count - holds - fails} undecided"


def _cases(claim: Claim, formula: Expression, rows: list[Row]) -> dict[str, dict[str, Row]]:
    """Return by case the row of every set that the formula names, the fastest of each set."""
    needed = sorted({reference.rows for reference in formula.references() if reference.rows})
    columns = {
        name: [reference.name for reference in formula.references() if reference.rows == name]
        for name in needed
    }
    if not needed:
        return {"": {}}
    sets = {name: _select(claim, name, rows, columns[name]) for name in needed}
    common = [key for key in sets[needed[0]] if all(key in sets[name] for name in needed)]
    return {
        dtype_and_size(sets[needed[0]][key]): {name: sets[name][key] for name in needed}
        for key in common
    }


def _select(
    claim: Claim, name: str, rows: list[Row], columns: list[str]
) -> dict[tuple[object, ...], Row]:
    """Return the rows of a set by case, the fastest one if there are several."""
    filters = claim.rows[name]
    if "prices" in filters:
        prices = {str(item): _price_row(str(item)) for item in _listed(filters["prices"])}
        return {(item,): row for item, row in prices.items() if all(row[name] for name in columns)}
    selected: dict[tuple[object, ...], Row] = {}
    for row in rows:
        if any(row[column] is None for column in columns):
            continue
        if all(row[column] in _listed(value) for column, value in filters.items()):
            case = tuple(row[column] for column in claim.match)
            known = selected.get(case)
            if known is None or _time(row) < _time(known):
                selected[case] = row
    return selected


def _missing(claim: Claim, rows: list[Row]) -> str:
    """Return which set has no rows, or that the sets share no case."""
    for name, filters in claim.rows.items():
        if not _select(claim, name, rows, []):
            wanted = ", ".join(
                f"{key}={'|'.join(map(str, _listed(value)))}" for key, value in filters.items()
            )
            return f"no row matches {name} ({wanted})"
    return f"the rows of {' and '.join(claim.rows)} share no case"


def _price_row(item: str) -> Row:
    price = api_prices()[item]
    blended = (3 * price.input + price.output) / 4 if price.output is not None else None
    row = {"item": item, "input": price.input, "output": price.output, "blended": blended}
    return {**row, "source": price.source, "source_date": price.date}


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _time(row: Row) -> float:
    return number(row["time_median_s"])
