"""`bench claims`: published claims judged by measurements."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.cli.options import InputPath, format_option
from bench.errors import UsageError

DEFAULT = "2025-05-podcast"


@click.command("claims")
@click.argument("files", metavar="[CLAIMS] [RESULTS.csv…]", nargs=-1, type=InputPath())
@format_option("Format of the findings on standard output.")
@click.option(
    "--details", is_flag=True, help="Add formulas, cases and sources to tables and Markdown."
)
@click.option("--only", metavar="ID", multiple=True, help="Judge only this claim; may be repeated.")
@click.option(
    "--no-published", is_flag=True, help="Ignore the published results that come with bench."
)
@click.option(
    "--simulated", is_flag=True, help="Count rows of simulated devices, which are no evidence."
)
def command(
    files: tuple[Path, ...],
    form: str,
    details: bool,
    only: tuple[str, ...],
    no_published: bool,
    simulated: bool,
) -> None:
    """Judge published claims by measurements.

    CLAIMS is a YAML file or the name of a shipped one, by default 2025-05-podcast. The evidence is the
    published results that come with bench, and RESULTS.csv.

    \b
    bench claims                              what was said in May 2025
    bench claims my.csv                       the same, with your measurements
    bench claims my-claims.yaml my.csv --details --format markdown
    """
    from bench.analysis.evidence import given_rows
    from bench.claims.judge import judge
    from bench.claims.load import chips_named, load_claims
    from bench.cli.claims_output import claims_document
    from bench.results.published import published_rows
    from bench.text.exporters import export

    results = [path for path in files if path.suffix == ".csv" or path.is_dir()]
    named = [str(path) for path in files if path not in results]
    if len(named) > 1:
        raise UsageError(f"one file of claims at a time, got {' and '.join(named)}")
    claims = load_claims(named[0] if named else DEFAULT).only(only)
    rows = [] if no_published else published_rows(chips_named(claims))
    findings = judge(claims, rows + given_rows(results, simulated=simulated))
    export(claims_document(claims, findings, details=details), form, sys.stdout)
