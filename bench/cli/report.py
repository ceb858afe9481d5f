"""`bench report`: an HTML page, or charts, of result files."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.measuring import check_names
from bench.cli.options import InputPath, OutputPath

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("report", context_settings={"max_content_width": 100})
@click.argument("results", metavar="RESULTS.csv…", type=InputPath(), nargs=-1)
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    help="The page to write. [default: report.html, unless only --png or --svg is given]",
)
@click.option("--png", type=FOLDER, help="Write each chart as PNG into this folder.")
@click.option("--svg", type=FOLDER, help="Write each chart as SVG into this folder.")
@click.option("--title", help="Heading of the page. [default: the devices]")
@click.option(
    "--base",
    metavar="DEVICE",
    help="The device that the others are compared with. [default: the first]",
)
@click.option(
    "--claims",
    metavar="CLAIMS",
    help="Add verdicts on claims: a YAML file, or a shipped one such as 2025-05-podcast.",
)
@click.option(
    "--simulated", is_flag=True, help="Include rows of simulated devices, labeled as such."
)
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(
    results: tuple[Path, ...],
    output: Path | None,
    png: Path | None,
    svg: Path | None,
    title: str | None,
    base: str | None,
    claims: str | None,
    simulated: bool,
    force: bool,
) -> int:
    """Write one self-contained HTML page about result files, folders of them, or globs.

    It shows devices and conditions, which device is faster, rooflines, rates, utilization, energy,
    samples, all rows, and what was not measured and why. It works offline.

    \b
    bench report h100.csv 910b.csv
    bench report results/local -o local.html --png pictures
    """
    if not results:
        raise click.UsageError("name a result file, such as results/local/smoke.csv")
    from bench.reporting.report import report

    if output is None and png is None and svg is None:
        output = Path("report.html")
    if output is not None:
        check_names(output)
    written = report(
        results,
        output,
        png=png,
        svg=svg,
        title=title and title.encode("utf-8", "replace").decode(),
        base=base,
        claims=claims,
        simulated=simulated,
        force=force,
    )
    for path in written:
        click.echo(str(path))
    return 0
