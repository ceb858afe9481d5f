"""`bench doctor`: what is here, what is missing, what distorts, and the commands that mend it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from bench.cli.options import positive

if TYPE_CHECKING:
    from bench.doctor.examination import Examination

STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Write the findings as JSON.")
@click.option(
    "--timeout",
    type=float,
    callback=positive,
    default=120,
    show_default=True,
    help="Seconds that a backend may take to answer.",
)
def command(as_json: bool, timeout: float) -> int:
    """Say what is installed, what is missing, and what will distort a measurement.

    Nothing is changed; each finding that is not well comes with the command that mends it.

    \b
    ok    as it should be
    warn  will distort a measurement, or is missing where it may be wanted
    fail  cannot be measured with

    Exit codes: 0 at least one backend can measure, 1 none can.
    """
    from bench.doctor.examination import examine

    examination = examine(timeout)
    if as_json:
        click.echo(json.dumps(examination.to_json(), indent=2, ensure_ascii=False))
    else:
        show(examination)
    return 0 if examination.can_measure else 1


def show(examination: Examination) -> None:
    """Write the findings as a page, and what follows from them as its last line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    everything = [one for section in examination.sections for one in section.findings]
    width = max((len(one.topic) for one in everything), default=0)
    for section in examination.sections:
        console.print(Text(section.name, style="bold"))
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
        table.add_column(no_wrap=True, min_width=5)
        table.add_column(no_wrap=True, min_width=width)
        table.add_column(overflow="fold")
        for one in section.findings:
            told = one.text if one.mend is None else f"{one.text}\n→ {one.mend}"
            level = Text(f" {one.level}", style=STYLES[one.level])
            table.add_row(level, Text(one.topic), Text(told))
        console.print(table)
    able = examination.can_measure
    warnings = examination.levels("warn")
    last = f"{', '.join(able)} can measure" if able else "no backend can measure here"
    last += f"; {warnings} thing{'' if warnings == 1 else 's'} to mind" if warnings else ""
    console.print(Text(last, style="bold"))
