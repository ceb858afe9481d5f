"""Writes the records of a document as CSV (RFC 4180)."""

from __future__ import annotations

import csv
from typing import TextIO

from bench.results.cells import escaped
from bench.text.document import Document


def write(document: Document, stream: TextIO) -> None:
    """Write one line per record, with cells as in a result file: None is an empty cell, true and false.

    A text that a spreadsheet would compute gets an apostrophe in front.
    """
    writer = csv.writer(stream, lineterminator="\r\n")
    for record in document.records:
        writer.writerow(map(_cell, record))


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return escaped(value) if isinstance(value, str) else value
