"""`bench report`: a page, or pictures, of what result files say."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("report", context_settings={"max_content_width": 100})
@click.argument("results", metavar="RESULTS.csv…", type=click.Path(path_type=Path), nargs=-1)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The page to write.  [default: report.html, unless only pictures are asked for]",
)
@click.option("--png", type=FOLDER, help="Write each chart into this folder as PNG.")
@click.option("--svg", type=FOLDER, help="Write each chart into this folder as SVG.")
@click.option("--title", help="Heading of the page.  [default: the devices]")
@click.option(
    "--base", metavar="DEVICE", help="What others are compared with.  [default: the first]"
)
@click.option(
    "--claims",
    metavar="CLAIMS",
    help="Add the verdicts on a file of claims, or a shipped one: 2025-05-podcast.",
)
@click.option("--simulated", is_flag=True, help="Show rows of simulated devices, marked so.")
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

    It shows devices and conditions, who is faster, rooflines, rates, utilization, energy, samples, every
    row, and what was not measured and why. It opens offline and loads nothing from anywhere.

    \b
    bench report h100.csv 910b.csv
    bench report results/local -o local.html --png pictures
    """
    if not results:
        raise click.UsageError("name a result file, such as results/local/smoke.csv")
    from bench.reporting.report import report

    if output is None and png is None and svg is None:
        output = Path("report.html")
    written = report(
        results,
        output,
        png=png,
        svg=svg,
        title=title,
        base=base,
        claims=claims,
        simulated=simulated,
        force=force,
    )
    for path in written:
        click.echo(str(path))
    return 0
