"""`bench claims`: published claims held against measurements."""

from __future__ import annotations

from pathlib import Path

import click

DEFAULT = "2025-05-podcast"


@click.command("claims")
@click.argument("files", metavar="[CLAIMS] [RESULTS.csv…]", nargs=-1)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "markdown", "json"]),
    default="table",
    help="How to print the findings.",
)
@click.option("--only", metavar="ID", multiple=True, help="Judge only this claim; may be repeated.")
@click.option(
    "--no-published", is_flag=True, help="Leave out the published results that come with bench."
)
@click.option(
    "--simulated", is_flag=True, help="Let rows of simulated devices count, which are no evidence."
)
def command(
    files: tuple[str, ...], style: str, only: tuple[str, ...], no_published: bool, simulated: bool
) -> None:
    """Hold published claims against measurements.

    CLAIMS is a YAML file or the name of a shipped one, by default 2025-05-podcast. The published results
    that come with bench are the evidence, and those of RESULTS.csv beside them.

    \b
    bench claims                              what was said in May 2025
    bench claims my.csv                       the same, with your measurements
    bench claims my-claims.yaml my.csv --format markdown
    """
    from bench.analysis.evidence import given_rows
    from bench.claims.judge import judge
    from bench.claims.load import chips_named, load_claims
    from bench.cli.claims_output import as_json, as_markdown, print_table
    from bench.results.published import published_rows

    results = [name for name in files if name.endswith(".csv") or Path(name).is_dir()]
    named = [name for name in files if name not in results]
    if len(named) > 1:
        raise click.UsageError(f"one file of claims at a time, got {' and '.join(named)}")
    claims = load_claims(named[0] if named else DEFAULT).only(only)
    rows = [] if no_published else published_rows(chips_named(claims))
    findings = judge(claims, rows + given_rows(results, simulated=simulated))
    if style == "table":
        print_table(claims, findings)
    else:
        click.echo(as_markdown(claims, findings) if style == "markdown" else as_json(findings))
