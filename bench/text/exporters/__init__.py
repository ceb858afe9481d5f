"""One exporter per output format. A new format is one module here and one line below."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from bench.text.document import Document
from bench.text.exporters import csv, json, markdown, terminal

EXPORTERS: dict[str, Callable[[Document, TextIO], None]] = {
    "table": terminal.write,
    "markdown": markdown.write,
    "csv": csv.write,
    "json": json.write,
}


def export(document: Document, form: str, stream: TextIO) -> None:
    """Write a document in one of the formats of EXPORTERS."""
    EXPORTERS[form](document, stream)
