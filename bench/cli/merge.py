"""`bench merge`: one result file of those of many ranks, devices or days."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("merge")
@click.argument("results", metavar="RESULTS.csv…", type=click.Path(path_type=Path), nargs=-1)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The file to be made."
)
@click.option("--force", is_flag=True, help="Replace an existing result file.")
def command(results: tuple[Path, ...], output: Path, force: bool) -> int:
    """Make one result file of many, and one of the samples beside them.

    Rows are taken as they are. One that is in two files is taken once if it is the same in every
    cell, and refused if not; nothing is written then.
    """
    from bench.results.merge import merge_files
    from bench.results.samples import samples_path

    if not results:
        raise click.UsageError("name the result files to merge, such as out/moe-*.csv")
    merged = merge_files(results, output, force=force)
    for note in merged.notes:
        click.echo(note, err=True)
    simulated = f", {merged.simulated} of them of simulated devices" if merged.simulated else ""
    click.echo(
        f"{output}: {_count(len(merged.rows), 'row')} of {_count(len(results), 'file')}{simulated}"
    )
    if samples_path(output).exists():
        click.echo(f"{samples_path(output)}: their samples")
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
