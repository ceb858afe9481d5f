"""`bench validate`: checks result files."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import InputPath

MOST_PROBLEMS = 100


@click.command("validate")
@click.argument("results", metavar="RESULTS.csv…", type=InputPath(), nargs=-1)
def command(results: tuple[Path, ...]) -> int:
    """Check result files: each cell, and whether the cells of a row are consistent.

    Exit codes: 0 sound, 2 not sound, with one line per problem.
    """
    from bench.errors import UsageError
    from bench.results.validate import validate

    if not results:
        raise click.UsageError("name a result file, such as results/local/smoke.csv")
    status = 0
    for path in results:
        try:
            result = validate(path)
        except UsageError as error:
            click.echo(str(error), err=True)
            status = 2
            continue
        for problem in result.problems[:MOST_PROBLEMS]:
            click.echo(f"{path}: {problem}", err=True)
        if len(result.problems) > MOST_PROBLEMS:
            click.echo(f"{path}: and {len(result.problems) - MOST_PROBLEMS} more", err=True)
        for warning in result.warnings:
            click.echo(f"{path}: warning: {warning}", err=True)
        if result.problems:
            status = 2
        else:
            click.echo(f"{path}: sound, {result.rows} row{'' if result.rows == 1 else 's'}")
    return status
