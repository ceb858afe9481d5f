"""`bench validate`: is this a sound result file?"""

from __future__ import annotations

from pathlib import Path

import click


@click.command("validate")
@click.argument("results", type=click.Path(path_type=Path), nargs=-1, required=True)
def command(results: tuple[Path, ...]) -> int:
    """Check result files: each cell, and whether the cells of a row agree.

    Exit codes: 0 sound, 2 something is wrong (each line says where).
    """
    from bench.results.validate import validate

    failed = False
    for path in results:
        problems, doubts, sound = validate(path)
        for problem in problems:
            click.echo(f"{path}: {problem}", err=True)
        for doubt in doubts:
            click.echo(f"{path}: warning: {doubt}", err=True)
        verdict = f"{len(problems)} problem(s)" if problems else "sound"
        click.echo(f"{path}: {sound} row(s), {verdict}")
        failed = failed or bool(problems)
    return 2 if failed else 0
