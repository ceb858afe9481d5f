"""`bench compare`: devices case by case, with ratios, intervals and verdicts."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.cli.options import FiniteRange, InputPath, format_option, not_empty
from bench.errors import UsageError

EXIT_FAILED = 1


@click.command("compare", context_settings={"max_content_width": 100})
@click.argument("results", metavar="BASE OTHER…", nargs=-1, type=InputPath())
@click.option(
    "--base",
    metavar="LABEL",
    callback=not_empty,
    help="The side that the others are compared with. [default: the first]",
)
@click.option(
    "--threshold",
    type=FiniteRange(0, 1, max_open=True),
    default=0.02,
    show_default=True,
    help="Relative difference that counts as equal.",
)
@click.option(
    "--same-implementation",
    is_flag=True,
    help="Pair only equal implementations. [default: the fastest of each side]",
)
@click.option("--simulated", is_flag=True, help="Count rows of simulated devices.")
@format_option("Format of the comparison; csv has the pairs only.")
@click.option("--all", "everything", is_flag=True, help="List every pair and every unpaired case.")
@click.option(
    "--fail-below",
    type=FiniteRange(0, min_open=True),
    metavar="RATIO",
    help="Exit 1 if the ratio of a case is below this and its interval below 1.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["slower", "undecided"]),
    multiple=True,
    help="Exit 1 if a case has this verdict; may be repeated.",
)
def command(
    results: tuple[Path, ...],
    base: str | None,
    threshold: float,
    same_implementation: bool,
    simulated: bool,
    form: str,
    everything: bool,
    fail_below: float | None,
    fail_on: tuple[str, ...],
) -> int:
    """Compare devices with a base, case by case.

    BASE and OTHER are result files, folders or globs. Rows of the same case are paired; the ratio is
    the other's rate over the base's. Its 95 % interval gives the verdict: faster, slower, same (within
    the threshold), or undecided.

    \b
    bench compare h100.csv 910b.csv
    bench compare before.csv after.csv --fail-on slower --format markdown

    Exit codes: 0 compared, 1 a --fail condition holds, 2 bad usage or input.
    """
    from bench.analysis.compare import compare
    from bench.analysis.pairing import COLUMNS
    from bench.cli import compare_output
    from bench.results.sides import load_sides
    from bench.text.exporters import export

    if len(results) == 1:
        raise UsageError(f"{results[0]}: name at least one other file to compare it with")
    if not results:
        raise click.UsageError("name two result files, such as h100.csv 910b.csv")
    sides = load_sides(results, COLUMNS)
    if base is None and list(sides.paths.values()).count(results[0]) > 1:
        raise UsageError(
            f"{results[0]} has several chips: choose one with --base: {', '.join(sides.frames)}"
        )
    comparison = compare(
        sides.frames,
        base=base,
        threshold=threshold,
        same_implementation=same_implementation,
        simulated=simulated,
    )
    if comparison.pairs.empty:
        raise UsageError("\n".join(compare_output.nothing_in_common(comparison)))
    export(compare_output.comparison_document(comparison, everything=everything), form, sys.stdout)
    failed = compare_output.failures(comparison, fail_below, fail_on)
    for line in failed:
        click.echo(f"bench: {line}", err=True)
    return EXIT_FAILED if failed else 0
