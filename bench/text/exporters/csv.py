"""Writes the records of a document as CSV (RFC 4180)."""

from __future__ import annotations

import csv
from typing import TextIO

from bench.results.cells import escaped
from bench.text.document import Document


def write(document: Document, stream: TextIO) -> None:
    """Write one line per record; None is an empty cell, and no text is one that a spreadsheet computes."""
    writer = csv.writer(stream, lineterminator="\r\n")
    for record in document.records:
        writer.writerow([escaped(cell) if isinstance(cell, str) else cell for cell in record])
