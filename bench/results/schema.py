"""What a row must say: the key that tells rows apart, and the JSON schema of one row."""

from __future__ import annotations

from typing import Any

from bench.results.columns import COLUMNS, SCHEMA_VERSION, Column, Row

# What tells the rows of one file apart.
KEY = ("run_id", "case_id", "implementation", "device_index", "stage", "source")

# What every published row has to say as well as one of our own.
PUBLIC = (
    "schema_version",
    "case_id",
    "chip",
    "device_name",
    "simulated",
    "kernel",
    "implementation",
    "dtype",
    "params",
    "flops",
    "status",
    "error",
    "time_median_s",
)

# What a source may leave open: never empty in rows of our own, and free in published ones.
OWN: frozenset[str] = frozenset(
    column.name
    for column in COLUMNS
    if column.filled != "where known" and column.name not in PUBLIC
)

_JSON_TYPES = {"integer": "integer", "number": "number", "boolean": "boolean"}


def is_published(row: Row) -> bool:
    """Return whether a row was published by others rather than measured by `bench run`."""
    return row.get("source") is not None


def results_schema() -> dict[str, Any]:
    """Return the JSON schema of one row: null or absent is unknown."""
    failed = {column.name: {"type": "null"} for column in COLUMNS if column.measured}
    needed = {
        filled: [column.name for column in COLUMNS if column.filled == filled]
        for filled in ("always", "if ok", "if not ok")
    }
    either = {
        filled: [name for name in names if name not in OWN] for filled, names in needed.items()
    }
    verified = {"verified": {"const": True}}
    not_ok = _filled(needed["if not ok"], failed)
    ours = {
        **_filled(needed["always"], {"evidence": {"type": "null"}}),
        **_by_status(_filled(needed["if ok"], verified), not_ok),
    }
    published = {**_filled(["evidence"]), **_by_status(_filled(either["if ok"]), not_ok)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A row of a bench result file, schema version {SCHEMA_VERSION}",
        "type": "object",
        "properties": {column.name: _property(column) for column in COLUMNS},
        "required": either["always"],
        "additionalProperties": False,
        "if": {"properties": {"source": {"type": "string"}}, "required": ["source"]},
        "then": published,
        "else": ours,
    }


def _by_status(ok: dict[str, Any], not_ok: dict[str, Any]) -> dict[str, Any]:
    """Return what holds for a row by its status."""
    is_ok = {"properties": {"status": {"const": "ok"}}, "required": ["status"]}
    return {"if": is_ok, "then": ok, "else": not_ok}


def _filled(names: list[str], properties: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of rows in which these columns are there and not null."""
    there = {name: {"not": {"type": "null"}} for name in names}
    return {"properties": {**there, **(properties or {})}, "required": names}


def _property(column: Column) -> dict[str, Any]:
    kind = _JSON_TYPES.get(column.type, "string")
    always = column.filled == "always" and column.name not in OWN
    schema: dict[str, Any] = {
        "description": column.meaning + (f" [{column.unit}]" if column.unit else ""),
        "type": kind if always else [kind, "null"],
    }
    if column.minimum is not None:
        schema["minimum"] = column.minimum
    if column.above is not None:
        schema["exclusiveMinimum"] = column.above
    if column.type == "integer" and not column.wide:
        schema["maximum"] = 2**63 - 1
    if column.choices:
        schema["enum"] = [*column.choices] if always else [*column.choices, None]
    if column.pattern:
        schema["pattern"] = f"^{column.pattern}$"
    if column.type == "time":
        schema["format"] = "date-time"
    if column.name == "schema_version":
        schema["const"] = SCHEMA_VERSION
    return schema
