"""The output of `bench run`: what will be measured, and at the end the rows."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from bench.cli.measuring import MeasuringOptions
    from bench.measure.run import Finished, Request

# The phases of a visit in their order.
MEASURING = ("allocate", "verify", "calibrate", "warm_up", "sample", "check")


def announce(request: Request, console: Console, verbose: bool) -> None:
    """Print what is about to be measured, and on which devices."""
    from bench.catalog.models import assumed_shapes
    from bench.text.format import duration

    devices = {job.device.index: job.device for job in request.jobs}
    first = next(iter(devices.values()))
    simulated = " (SIMULATED)" if first.simulated else ""
    threads = f", {first.threads} threads" if first.threads else ""
    together = " together" if request.together and len(devices) > 1 else ""
    ranks = f", {len(request.rank_devices)} ranks" if request.rank_devices else ""
    cases = len({job.case.case_id for job in request.jobs}) if together else len(request.jobs)
    console.print(
        f"{request.config.name}: {cases} cases on {request.description.name} "
        f"{', '.join(map(str, devices))}{together}: {first.name}{threads}{ranks}{simulated}",
        markup=False,
    )
    for sentence in assumed_shapes(job.case.model for job in request.jobs):
        console.print(f"note: {sentence}", markup=False)
    if verbose:
        longest = len(request.jobs) * request.measurement.time_budget_s
        console.print(
            f"visits take at most about {duration(longest)}; writing {request.path}", markup=False
        )


def show(
    finished: Finished,
    request: Request,
    console: Console,
    options: MeasuringOptions,
    started: float,
    *,
    with_table: bool,
) -> None:
    """Write the rows to standard output, and to the console where they are on disk.

    `with_table` is about the format `table`; the others are always written.
    """
    from bench.cli.devices import device_lines
    from bench.cli.run_table import remarks, rows_by_kernel
    from bench.text.document import Block, Lines
    from bench.text.exporters import export
    from bench.text.row_document import row_document

    if options.form != "table" or with_table:
        shapes = {job.case.case_id: job.case.shape for job in request.jobs}
        names = {job.device.index: job.device.name for job in request.jobs}
        notes = [*remarks(finished.rows, shapes), *device_lines(finished.rows, shapes, names)]
        blocks: list[Block] = [rows_by_kernel(finished.rows, shapes), Lines(notes, role="notes")]
        export(row_document(finished.rows, blocks), options.form, sys.stdout)
    if options.verbose:
        for phase, seconds in seconds_by_phase(finished, time.monotonic() - started):
            console.print(f"  {phase:10} {seconds:7.1f} s", markup=False)
    if finished.interrupted:
        console.print("interrupted; the finished rows are kept, continue with:", markup=False)
        console.print(f"  bench run … -o {finished.path} --resume", markup=False)
    console.print(f"rows:    {finished.path}", markup=False, soft_wrap=True)
    if finished.samples is not None:
        console.print(f"samples: {finished.samples}", markup=False, soft_wrap=True)


def seconds_by_phase(finished: Finished, wall_s: float) -> list[tuple[str, float]]:
    """Return seconds by phase; `harness` is the rest: starting workers, reading limits, writing."""
    phases = finished.accounting.phases_s
    measuring = [(name, phases.get(name, 0.0)) for name in MEASURING]
    rest = wall_s - sum(seconds for _, seconds in measuring)
    return [*measuring, ("harness", rest), ("total", wall_s)]
