"""`bench merge`: combines the result files of ranks, devices or days."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.measuring import check_names
from bench.cli.options import InputPath, OutputPath


@click.command("merge")
@click.argument("results", metavar="RESULTS.csv…", type=InputPath(), nargs=-1)
@click.option("-o", "--output", type=OutputPath(), required=True, help="The file to write.")
@click.option("--force", is_flag=True, help="Replace an existing result file.")
def command(results: tuple[Path, ...], output: Path, force: bool) -> int:
    """Combine result files into one, and the samples beside them.

    Rows are copied unchanged. A row that is in two files is copied once if all cells are equal;
    otherwise nothing is written.
    """
    from bench.results.merge import merge_files
    from bench.results.samples import samples_path

    if not results:
        raise click.UsageError("name the result files to merge, such as out/moe-*.csv")
    check_names(output, samples_path(output))
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
