"""`bench ceiling`: the highest rates of a device, found by a guided search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import not_empty, positive, processors
from bench.cli.run import EXIT_CASE_FAILED, EXIT_INTERRUPTED, FINE, default_path
from bench.errors import UsageError, one_of


@click.command("ceiling", context_settings={"max_content_width": 100})
@click.option("--backend", metavar="NAME", help="cpu, cuda, ascend, … [default: the best present]")
@click.option("--device", default="0", show_default=True, help="The index of the device.")
@click.option(
    "--dtype",
    "dtypes",
    metavar="NAME,…",
    callback=not_empty,
    help="Only these. [default: all that the device has]",
)
@click.option(
    "--budget",
    type=float,
    callback=positive,
    default=20.0,
    show_default=True,
    help="Seconds of trials a dtype.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Result file. [default: results/local/ceiling-BACKEND-TIME.csv]",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="Seed of the inputs.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    callback=processors,
    help="CPU threads. [default: one a core]",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="What is written to standard output at the end.",
)
@click.option("-v", "--verbose", is_flag=True, help="A line for every trial.")
@click.option("--debug", is_flag=True, help="Show tracebacks and what workers print.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no table.")
def command(output: Path | None, dtypes: str | None, **options: Any) -> int:
    """Find the highest rate of matrix products in each dtype, and of the memory.

    Shapes are searched from squares that double to what is best around them; each is verified. The
    fastest are measured again, and only that counts. One row a dtype and a memory operation goes to
    the result file, every trial to NAME.trials.csv beside it. Later runs on the same device find the
    ceilings by themselves, and have `utilization_of_ceiling` in their rows.

    \b
    Exit codes: 0 found, 1 a case failed, 2 bad usage, 130 interrupted.
    """
    from bench.cli.progress import SearchProgress, Silent, console_of
    from bench.config.load import Measurement
    from bench.kernels.dtypes import DTYPES
    from bench.measure.ceiling import CeilingRequest, find_ceilings
    from bench.measure.discovery import choose_backend, choose_devices

    wanted = dtypes.split(",") if dtypes else list(DTYPES)
    for name in wanted:
        if name not in DTYPES:
            raise UsageError(f"--dtype: unknown {name!r}{one_of(name, DTYPES)}")
    console = console_of(None, quiet=options["quiet"])
    with console.status("looking for devices"):
        description, worker = choose_backend(options["backend"], options["threads"])

    def worker_output(text: str) -> None:
        if options["debug"] and text.strip():
            console.print(text.rstrip(), markup=False, style="dim")

    display = Silent()
    try:
        devices = choose_devices(options["device"], description.devices)
        if len(devices) != 1:
            raise UsageError(
                "--device: ceilings are found for one device at a time; give one index"
            )
        request = CeilingRequest(
            description=description,
            device=devices[0],
            dtypes=list(dict.fromkeys(wanted)),
            budget_s=options["budget"],
            measurement=Measurement(seed=options["seed"]),
            threads=options["threads"],
            path=output or default_path("ceiling", description.name),
            force=options["force"],
        )
        mark = " (SIMULATED)" if request.device.simulated else ""
        console.print(
            f"ceilings of {description.name} {request.device.index}: {request.device.name}{mark}",
            markup=False,
        )
        if not options["quiet"]:
            display = SearchProgress(console, every=options["verbose"])
        found = find_ceilings(request, worker, display, worker_output)
    finally:
        display.close()
        worker.discard()
    _show(found, options)
    console.print(f"rows:   {found.path}", markup=False, soft_wrap=True)
    console.print(f"trials: {found.trials}", markup=False, soft_wrap=True)
    if found.kept is not None:
        console.print(f"kept for later runs: {found.kept}", markup=False, soft_wrap=True)
    if found.interrupted:
        console.print("interrupted: nothing is kept for later runs")
        return EXIT_INTERRUPTED
    return 0 if all(row["status"] in FINE for row in found.rows) else EXIT_CASE_FAILED


def _show(found: Any, options: dict[str, Any]) -> None:
    """Write the table, or the rows as CSV or JSON, to standard output."""
    from rich.console import Console

    from bench.cli.rows import rows_as_csv, rows_as_json
    from bench.cli.run_table import remarks, result_table

    if options["form"] == "csv":
        click.echo("".join(rows_as_csv(found.rows)), nl=False)
    elif options["form"] == "json":
        click.echo("".join(rows_as_json(found.rows)), nl=False)
    elif not options["quiet"]:
        out = Console(highlight=False)
        out.print(result_table(found.rows, found.shapes))
        for line in remarks(found.rows, found.shapes):
            out.print(line, markup=False)
