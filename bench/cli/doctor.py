"""`bench doctor`: what is installed, missing or distorting, and the commands that fix it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from bench.cli.options import format_option, positive

if TYPE_CHECKING:
    from bench.doctor.examination import Examination
    from bench.text.document import Block, Document

STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@format_option("Format of the findings on standard output.")
@click.option("--json", "form", flag_value="json", help="Same as --format json.")
@click.option(
    "--timeout",
    type=float,
    callback=positive,
    default=120,
    show_default=True,
    help="Seconds that a backend may take to answer.",
)
def command(form: str, timeout: float) -> int:
    """Report what is installed, what is missing, and what will distort a measurement.

    Nothing is changed; a finding that is not ok comes with the command that fixes it.

    \b
    ok    as it should be
    warn  distorts measurements, or is missing and may be wanted
    fail  prevents measurements

    Exit codes: 0 at least one backend can measure, 1 none can.
    """
    from bench.doctor.examination import examine
    from bench.text.exporters import export

    examination = examine(timeout)
    export(examination_document(examination), form, sys.stdout)
    return 0 if examination.can_measure else 1


def examination_document(examination: Examination) -> Document:
    """Return the findings for all formats."""
    from bench.text.document import Document

    return Document(
        blocks=_blocks(examination), records=_records(examination), data=examination.to_json
    )


def _blocks(examination: Examination) -> Iterator[Block]:
    """Yield the findings in sections, and what follows from them."""
    from bench.text.document import Heading, Sections, TableColumn

    columns = [
        TableColumn("level", "left"),
        TableColumn("topic", "left"),
        TableColumn("finding", "left", True),
    ]
    sections = {
        section.name: [
            (one.level, one.topic, one.text if one.mend is None else f"{one.text}\n→ {one.mend}")
            for one in section.findings
        ]
        for section in examination.sections
    }
    yield Sections(columns, sections, styles=STYLES)
    backends = examination.can_measure
    warnings = examination.levels("warn")
    summary = f"{', '.join(backends)} can measure" if backends else "no backend can measure here"
    yield Heading(summary + (f"; {warnings} warning{'s' * (warnings != 1)}" if warnings else ""))


def _records(examination: Examination) -> Iterator[Sequence[object]]:
    yield ["section", "level", "topic", "text", "mend"]
    for section in examination.sections:
        for one in section.findings:
            yield [section.name, one.level, one.topic, one.text, one.mend]
