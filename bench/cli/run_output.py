"""What `bench run` says before it measures and shows at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from bench.measure.run import Finished, Request

# The phases of a case that a user waits for knowingly, in their order.
MEASURING = ("allocate", "verify", "calibrate", "warm_up", "sample", "check")


def announce(request: Request, console: Console, verbose: bool) -> None:
    """Say what is about to be measured, and on what."""
    from bench.catalog.models import assumed_shapes
    from bench.text.format import duration

    devices = {job.device.index: job.device for job in request.jobs}
    first = next(iter(devices.values()))
    mark = " (SIMULATED)" if first.simulated else ""
    threads = f", {first.threads} threads" if first.threads else ""
    together = " together" if request.together and len(devices) > 1 else ""
    cases = len({job.case.case_id for job in request.jobs}) if together else len(request.jobs)
    console.print(
        f"{request.config.name}: {cases} cases on {request.description.name} "
        f"{', '.join(map(str, devices))}{together}: {first.name}{threads}{mark}",
        markup=False,
    )
    for sentence in assumed_shapes(job.case.model for job in request.jobs):
        console.print(f"note: {sentence}", markup=False)
    if verbose:
        most = len(request.jobs) * request.measurement.time_budget_s
        console.print(
            f"visits take about {duration(most)} at most; writing {request.path}", markup=False
        )


def show(
    finished: Finished,
    request: Request,
    console: Console,
    options: dict[str, Any],
    started: float,
) -> None:
    """Write the table, or the rows as CSV or JSON, to standard output; the rest to standard error."""
    from rich.console import Console

    from bench.cli.devices import device_lines
    from bench.cli.rows import rows_as_csv, rows_as_json
    from bench.cli.run_table import remarks, result_table

    if options["form"] == "csv":
        click.echo("".join(rows_as_csv(finished.rows)), nl=False)
    elif options["form"] == "json":
        click.echo("".join(rows_as_json(finished.rows)), nl=False)
    elif options["table"]:
        shapes = {job.case.case_id: job.case.shape for job in request.jobs}
        out = Console(highlight=False)
        out.print(result_table(finished.rows, shapes))
        names = {job.device.index: job.device.name for job in request.jobs}
        for line in [*remarks(finished.rows, shapes), *device_lines(finished.rows, shapes, names)]:
            out.print(line, markup=False)
    if options["verbose"]:
        for phase, seconds in where_the_time_went(finished, time.monotonic() - started):
            console.print(f"  {phase:10} {seconds:7.1f} s", markup=False)
    if finished.interrupted:
        console.print("interrupted; the finished rows are kept, go on with:", markup=False)
        console.print(f"  bench run … -o {finished.path} --resume", markup=False)
    console.print(f"rows:    {finished.path}", markup=False, soft_wrap=True)
    if finished.samples is not None:
        console.print(f"samples: {finished.samples}", markup=False, soft_wrap=True)


def where_the_time_went(finished: Finished, wall_s: float) -> list[tuple[str, float]]:
    """Return seconds by phase; `harness` is what served no case: starting, limits, writing."""
    phases = finished.accounting.phases_s
    measuring = [(name, phases.get(name, 0.0)) for name in MEASURING]
    rest = wall_s - sum(seconds for _, seconds in measuring)
    return [*measuring, ("harness", rest), ("in all", wall_s)]
