"""The columns of a result file in the order of the file, each declared once.

A file of this package declares the columns of one subject. docs/column_table.py prints them for
docs/results.md; bench/results/schema.py makes the JSON schema.
"""

from __future__ import annotations

from bench.results.columns.column import DATE, SCHEMA_VERSION, SHA256, Column, Row
from bench.results.columns.identity import DEVICE, IDENTITY
from bench.results.columns.measurement import LIMITS, OUTCOME, RATES, RUN_AGAIN, STATUSES, TIME
from bench.results.columns.publication import EVIDENCE, PUBLICATION, REMARKS
from bench.results.columns.telemetry import TELEMETRY
from bench.results.columns.work import STAGES, WORK

__all__ = [
    "BY_NAME",
    "COLUMNS",
    "DATE",
    "EVIDENCE",
    "NAMES",
    "RUN_AGAIN",
    "SCHEMA_VERSION",
    "SHA256",
    "STAGES",
    "STATUSES",
    "Column",
    "Row",
]

COLUMNS: tuple[Column, ...] = (
    *IDENTITY,
    *DEVICE,
    *WORK,
    *OUTCOME,
    *TIME,
    *RATES,
    *LIMITS,
    *TELEMETRY,
    *REMARKS,
    *PUBLICATION,
)

BY_NAME: dict[str, Column] = {column.name: column for column in COLUMNS}
NAMES: tuple[str, ...] = tuple(BY_NAME)
