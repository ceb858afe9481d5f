"""The schema and the reader of a claims file: published sentences, and the formulas that test them.

docs/claims.md describes the format. All problems of a file are reported at once, by line and key.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.analysis.estimate import exactly
from bench.catalog.chips import load_chips
from bench.catalog.models import load_models
from bench.catalog.prices import api_prices
from bench.claims.expression import Expression, ExpressionError, parse
from bench.claims.facts import Fact, parse_fact
from bench.config.load import shipped_folder as shipped_configs_folder
from bench.errors import UsageError, one_of
from bench.results.columns import BY_NAME
from bench.results.published import published_chips
from bench.yaml_files.source import KeyPath, Source, read_yaml
from bench.yaml_files.validation_text import sentence

Relation = Literal["about", "at_least", "at_most"]

# The columns of list prices; `blended` is the price of three input tokens per output token.
PRICE_COLUMNS = ("input", "output", "blended")
NUMBERS = tuple(name for name, column in BY_NAME.items() if column.type in ("integer", "number"))

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Claim(BaseModel):
    """One reading of a published sentence: a formula, and the value that it should have.

    `rows` names sets of result rows by the values of their columns, or of list prices by `prices`. The
    formula is evaluated for each case that all sets share; rows are of one case if the columns of `match`
    are equal, by default `case_id`. `relation` is the required relation of its value to `expected`,
    within the fraction `tolerance`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    sentence: str
    by: str
    on: str
    reading: str
    formula: str | None = None
    rows: dict[str, dict[str, Any]] = {}
    match: Annotated[tuple[str, ...], Field(min_length=1)] = ("case_id",)
    expected: Positive | None = None
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.0
    relation: Relation = "about"
    refuted_if: str
    measure: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class Claims:
    """A claims file: its facts by name, and each claim with its formula."""

    name: str
    title: str
    facts: dict[str, Fact]
    claims: tuple[tuple[Claim, Expression | None], ...]
    source: Source

    def only(self, ids: Sequence[str]) -> Claims:
        """Return the claims with the given ids, or all without any. Raises UsageError."""
        known = [claim.id for claim, _ in self.claims]
        for name in ids:
            if name not in known:
                raise UsageError(f"--only: no claim {name!r}{one_of(name, known)}")
        kept = tuple(pair for pair in self.claims if not ids or pair[0].id in ids)
        return replace(self, claims=kept)

    def complain(self, claim: Claim, text: str) -> str:
        """Return a message about a claim, with its place in the file."""
        ids = [entry.get("id") for entry in self.source.data["claims"]]
        return self.source.complain(("claims", ids.index(claim.id)), text)


def shipped_folder() -> Path:
    """Return the folder of the shipped claims."""
    return Path(str(shipped_configs_folder())) / "claims"


@cache
def shipped_claims() -> tuple[str, ...]:
    """Return the names of the shipped files."""
    return tuple(sorted(file.stem for file in shipped_folder().glob("*.yaml")))


def find_claims(name: str) -> Path:
    """Return a claims file given by its path or, if it is shipped, by its name."""
    path = Path(name)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    if name not in shipped_claims():
        raise UsageError(
            f"{name!r} is neither a file nor shipped claims{one_of(name, shipped_claims())}"
        )
    return shipped_folder() / f"{name}.yaml"


def load_claims(name: str) -> Claims:
    """Load a claims file. Raises UsageError with one line per problem."""
    return build_claims(read_yaml(find_claims(name)))


def build_claims(source: Source) -> Claims:
    """Build the claims of a YAML document. Raises UsageError with one line per problem."""
    reader = _Reader(source)
    claims = reader.read()
    if reader.problems:
        raise UsageError("\n".join(reader.problems))
    return claims


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[str] = []
        self.facts: dict[str, Fact] = {}

    def read(self) -> Claims:
        data = self.source.data
        if not isinstance(data, dict) or not isinstance(data.get("claims"), list):
            raise UsageError(
                self.source.complain(
                    (), "expected a mapping with a list `claims:`; see docs/claims.md"
                )
            )
        known = ("title", "description", "facts", "sentences", "claims")
        for key in data:
            if key not in known:
                self._complain((key,), f"unknown key{one_of(key, known)}")
        self._read_facts(data.get("facts") or {})
        claims = [self._claim(number, value) for number, value in enumerate(data["claims"])]
        valid = tuple(claim for claim in claims if claim is not None)
        ids = [claim.id for claim, _ in valid]
        for number, name in enumerate(ids):
            if name in ids[:number]:
                self._complain(("claims", number), f"id: {name} appears twice")
        title = str(data.get("title", Path(self.source.name).stem))
        return Claims(self.source.name, title, self.facts, valid, self.source)

    def _complain(self, path: KeyPath, text: str) -> None:
        self.problems.append(self.source.complain(path, text))

    def _read_facts(self, facts: Any) -> None:
        if not isinstance(facts, dict):
            self._complain(("facts",), "expected names with values")
            return
        for name, value in facts.items():
            try:
                self.facts[name] = parse_fact(value)
            except UsageError as error:
                self._complain(("facts", name), str(error))
                # Formulas may still name it, so that one mistake is reported once.
                self.facts[name] = Fact(exactly(1), "", "", "")

    def _claim(self, number: int, value: Any) -> tuple[Claim, Expression | None] | None:
        path: KeyPath = ("claims", number)
        if not isinstance(value, dict):
            self._complain(path, "expected a mapping with id, sentence, formula, …")
            return None
        try:
            claim = Claim.model_validate(value)
        except ValidationError as error:
            for key, text in sentence(error, Claim.model_fields):
                self._complain((*path, key) if key else path, text)
            return None
        for name, filters in claim.rows.items():
            self._filters((*path, "rows", name), filters)
        for place, column in enumerate(claim.match):
            if column not in BY_NAME:
                text = f"unknown column {column!r}{one_of(column, BY_NAME)}"
                self._complain((*path, "match", place), text)
        return claim, self._formula(path, claim)

    def _formula(self, path: KeyPath, claim: Claim) -> Expression | None:
        if claim.formula is None:
            if not claim.measure and not claim.remark:
                text = (
                    "needs `formula`, or `measure`, or a `remark` that says why it cannot be tested"
                )
                self._complain(path, text)
            return None
        if claim.expected is None:
            self._complain(
                path, "expected: is missing; it is the value that the formula should have"
            )
        try:
            formula = parse(claim.formula)
        except ExpressionError as error:
            self._complain((*path, "formula"), str(error))
            return None
        for name, rows in sorted((ref.name, ref.rows or "") for ref in formula.references()):
            if not rows:
                if name not in self.facts:
                    hint = " (a column needs its rows, as in utilization[npu])"
                    known = one_of(name, self.facts) + (hint if name in NUMBERS else "")
                    self._complain((*path, "formula"), f"unknown fact {name!r}{known}")
            elif rows not in claim.rows:
                text = f"unknown rows {rows!r}{one_of(rows, claim.rows)}"
                self._complain((*path, "formula"), text)
            else:
                columns = PRICE_COLUMNS if "prices" in claim.rows[rows] else NUMBERS
                if name not in columns:
                    text = f"unknown column {name!r}{one_of(name, columns)}"
                    self._complain((*path, "formula"), text)
        return formula

    def _filters(self, path: KeyPath, filters: dict[str, Any]) -> None:
        tables: dict[str, Collection[str]] = {
            "chip": load_chips().keys() | published_chips(),
            "model": load_models(),
            "prices": api_prices(),
        }
        for column, wanted in filters.items():
            inside = (*path, column)
            if column not in (*BY_NAME, "prices"):
                self._complain(inside, f"unknown column{one_of(column, BY_NAME)}")
            for value in _listed(wanted):
                known = tables.get(column)
                if isinstance(value, (list, dict)):
                    self._complain(inside, "expected a value, or a list of values")
                elif known is not None and value not in known:
                    noun = "price" if column == "prices" else column
                    self._complain(inside, f"unknown {noun} {value!r}{one_of(str(value), known)}")
        if "prices" in filters and len(filters) > 1:
            self._complain(path, "list prices have no columns; give `prices` alone")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def chips_named(claims: Claims) -> set[str]:
    """Return the chips that the claims name, so that only their results need to be read."""
    filters = (rows for claim, _ in claims.claims for rows in claim.rows.values())
    return {str(chip) for rows in filters for chip in _listed(rows.get("chip", []))}
