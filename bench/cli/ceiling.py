"""`bench ceiling`: a guided search for the highest rates of a device."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import click

from bench.cli.measuring import (
    BACKEND,
    DEBUG,
    FORMAT,
    QUIET,
    THREADS,
    MeasuringOptions,
    check_names,
    default_path,
    exit_code,
)
from bench.cli.options import OutputPath, not_empty, positive
from bench.errors import UsageError, one_of


@dataclass(frozen=True, kw_only=True)
class CeilingOptions(MeasuringOptions):
    """The options of `bench ceiling` as given."""

    device: str
    seed: int
    dtype: str | None
    budget_s: float

    def dtypes(self) -> list[str]:
        """Return the dtypes to search, each once. Raises UsageError for an unknown one."""
        from bench.kernels.dtypes import DTYPES

        names = self.dtype.split(",") if self.dtype else list(DTYPES)
        for name in names:
            if name not in DTYPES:
                raise UsageError(f"--dtype: unknown {name!r}{one_of(name, DTYPES)}")
        return list(dict.fromkeys(names))


@click.command("ceiling", context_settings={"max_content_width": 100})
@BACKEND
@click.option("--device", default="0", show_default=True, help="The index of the device.")
@click.option(
    "--dtype",
    metavar="NAME[,…]",
    callback=not_empty,
    help="Search only these. [default: all that the device supports]",
)
@click.option(
    "--budget",
    "budget_s",
    type=float,
    callback=positive,
    default=20.0,
    show_default=True,
    help="Seconds of trials per dtype.",
)
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    help="Result file. [default: results/local/ceiling-BACKEND-TIME.csv]",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="Seed of the inputs.")
@THREADS
@click.option("--force", is_flag=True, help="Replace an existing file.")
@FORMAT
@click.option("-v", "--verbose", is_flag=True, help="Print one line per trial.")
@DEBUG
@QUIET
def command(**options: Any) -> int:
    """Find the highest rate of matrix products in each dtype, and of the memory.

    The search doubles squares, then refines the shape around the fastest; every trial is verified.
    The fastest shapes are measured again, and only the second measurement counts. The result file
    has one row per dtype and memory operation, NAME.trials.csv beside it every trial. Later runs on
    the same device use the ceilings automatically and fill `utilization_of_ceiling`.

    \b
    Exit codes: 0 searched, 1 a case failed, 2 bad usage, 130 interrupted.
    """
    return search(CeilingOptions(**options))


def search(options: CeilingOptions) -> int:
    """Search as the options ask for, and return the exit code."""
    from bench.cli.progress import SearchProgress, Silent, console_of
    from bench.cli.run_table import remarks, rows_by_kernel
    from bench.config.load import Measurement
    from bench.measure.ceiling import CeilingRequest, find_ceilings
    from bench.measure.discovery import choose_backend, choose_devices
    from bench.text.document import Block, Lines
    from bench.text.exporters import export
    from bench.text.row_document import row_document

    dtypes = options.dtypes()
    console = console_of(None, quiet=options.quiet)
    with console.status("looking for devices"):
        description, worker = choose_backend(options.backend, options.threads)
    display = Silent()
    try:
        devices = choose_devices(options.device, description.devices)
        if len(devices) != 1:
            raise UsageError("--device: the search takes one device at a time; give one index")
        request = CeilingRequest(
            description=description,
            device=devices[0],
            dtypes=dtypes,
            budget_s=options.budget_s,
            measurement=Measurement(seed=options.seed),
            threads=options.threads,
            path=options.output or default_path("ceiling", description.name),
            force=options.force,
        )
        check_names(request.path, request.trials)
        simulated = " (SIMULATED)" if request.device.simulated else ""
        console.print(
            f"ceilings of {description.name} {request.device.index}: "
            f"{request.device.name}{simulated}",
            markup=False,
        )
        if not options.quiet:
            display = SearchProgress(console, every=options.verbose)
        ceilings = find_ceilings(request, worker, display, options.worker_output(console))
    finally:
        display.close()
        worker.discard()
    if options.form != "table" or not options.quiet:
        notes = remarks(ceilings.rows, ceilings.shapes)
        blocks: list[Block] = [
            rows_by_kernel(ceilings.rows, ceilings.shapes),
            Lines(notes, role="notes"),
        ]
        export(row_document(ceilings.rows, blocks), options.form, sys.stdout)
    console.print(f"rows:   {ceilings.path}", markup=False, soft_wrap=True)
    console.print(f"trials: {ceilings.trials}", markup=False, soft_wrap=True)
    if ceilings.kept is not None:
        console.print(f"kept for later runs: {ceilings.kept}", markup=False, soft_wrap=True)
    if ceilings.interrupted:
        console.print("interrupted: nothing is kept for later runs")
    return exit_code(ceilings.rows, interrupted=ceilings.interrupted)
