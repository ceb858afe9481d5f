"""`bench run`: measures the cases of a config and writes rows and samples."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from bench.cli.options import OutputPath, fraction, positive
from bench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.cli.progress import Silent
    from bench.config.cases import Case
    from bench.config.load import Config, Measurement
    from bench.measure.client import WorkerProcess
    from bench.measure.launcher import Rank
    from bench.measure.protocol import BackendDescription
    from bench.measure.run import Finished, Request


@dataclass(frozen=True, kw_only=True)
class RunOptions(MeasuringOptions):
    """The options of `bench run` as given; None leaves a setting to the config."""

    config: str
    together: bool
    ranks: int | None
    filter: str | None
    list_cases: bool
    implementation: str
    rounds: int | None
    case_timeout_s: float | None
    time_budget_s: float | None
    precision: float | None
    stages: bool
    ceiling: str | None
    resume: bool

    def __post_init__(self) -> None:
        if self.resume and self.force:
            raise UsageError("--resume keeps the file and --force replaces it: give one of them")
        if self.resume and self.output is None:
            raise UsageError("--resume: name the file with -o FILE.csv")
        if self.together and self.ranks is not None:
            raise UsageError(
                "--together measures each case on every device by itself, and --ranks one case by "
                "several ranks: give one of them"
            )

    def measurement(self, config: Measurement) -> Measurement:
        """Return the settings of the config, replaced by those given as options."""
        names = ("rounds", "case_timeout_s", "time_budget_s", "precision", "seed")
        given = {name: getattr(self, name) for name in names}
        return config.model_copy(
            update={name: value for name, value in given.items() if value is not None}
        )


@click.command("run", context_settings={"max_content_width": 100})
@click.argument("config", default="smoke")
@BACKEND
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    help="Result file. [default: results/local/CONFIG-BACKEND-TIME.csv]",
)
@click.option(
    "--device",
    help="An index, a list such as 0,1, or `all`. [default: 0; under srun, mpirun or torchrun the "
    "local rank]",
)
@click.option(
    "--together",
    "--parallel",
    "together",
    is_flag=True,
    help="Measure each case on all chosen devices at the same time, each for the whole time budget.",
)
@click.option(
    "--ranks",
    type=click.IntRange(2, 1024),
    help="Ranks that measure a collective together, each in a process that this command starts here.",
)
@click.option(
    "--filter",
    metavar="KEY=VALUE[,…]",
    help="Measure only the matching cases, such as 'kernel=matmul,dtype=bfloat16'.",
)
@click.option("--list-cases", is_flag=True, help="List the cases and exit.")
@click.option(
    "--implementation",
    default="best",
    show_default=True,
    help="`best`, `all`, or a name from `bench list implementations`.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    help="Maximum number of visits to each case, spread over the run; the interval comes from their "
    "scatter. A case ends after six if they agree within --precision; 1 is a quick look. "
    "[default: the config's, else 8]",
)
@click.option(
    "--case-timeout",
    "case_timeout_s",
    type=float,
    callback=positive,
    help="Seconds after which a visit to a case is abandoned.",
)
@click.option(
    "--time-budget",
    "time_budget_s",
    type=float,
    callback=positive,
    help="Seconds of measurement per case, over all rounds.",
)
@click.option(
    "--precision",
    type=float,
    callback=fraction,
    help="Relative half-width of the 95 % interval at which a case needs no further round.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of inputs and routing.")
@THREADS
@click.option(
    "--stages",
    is_flag=True,
    help="Also time the stages of a layer (gate, dispatch, experts, …), one row per stage.",
)
@click.option(
    "--ceiling",
    metavar="FILE",
    help="A file from `bench ceiling` of this device, or `none`. [default: the one kept for this "
    "device, if there is one]",
)
@click.option("--resume", is_flag=True, help="Continue the file of an earlier run.")
@click.option(
    "--force", is_flag=True, help="Replace an existing file; accept a very large number of cases."
)
@FORMAT
@click.option(
    "-v", "--verbose", is_flag=True, help="Also show the expected duration and where time went."
)
@DEBUG
@QUIET
def command(**options: Any) -> int:
    """Measure the cases of CONFIG and write a result CSV.

    CONFIG is a file or the name of a shipped config (see `bench list configs`). Every result is
    verified against a reference before it is timed. Each row is on disk as soon as its case ends;
    samples go to NAME.pyperf.json beside it.

    \b
    Exit codes: 0 all cases ok or unsupported, 1 a case failed,
    2 bad usage or config, 130 interrupted by Ctrl-C, SIGTERM or SIGHUP
    (finished rows are kept; continue with --resume).

    \b
    Under srun, mpirun, torchrun or as an indexed Kubernetes job, each rank
    measures the device of its local rank and writes NAME-HOST-RANK.csv;
    `bench merge` combines the files.
    """
    return run(RunOptions(**options))


def run(options: RunOptions) -> int:
    """Measure what the options ask for, and return the exit code."""
    started = time.monotonic()
    from bench.config.cases import check_ranks, for_ranks
    from bench.config.filters import parse_filter
    from bench.config.load import load_config

    config = load_config(options.config, force=options.force)
    cases = for_ranks(config.cases, options.ranks)
    if options.filter is not None:
        cases = parse_filter(options.filter).select(cases)
    if options.list_cases:
        for case in cases:
            click.echo(f"{case.case_id}  {case.title}")
        return 0

    from bench.cli.progress import console_of
    from bench.cli.run_output import announce, show
    from bench.measure.discovery import choose_backend
    from bench.measure.launcher import find_rank

    check_ranks(cases, options.ranks)
    rank = find_rank(os.environ)
    if rank is not None and rank.alone:
        rank = None
    if rank is not None and options.ranks is not None:
        raise UsageError(
            f"--ranks starts its ranks itself, on one machine, and {rank.launcher} has started "
            "several: start `bench run` once, without the launcher"
        )
    console = console_of(rank, quiet=options.quiet)
    with console.status("looking for devices"):
        description, worker = choose_backend(options.backend, options.threads)
    try:
        request, notes = _request(options, config, cases, description, rank)
        announce(request, console, options.verbose)
        for note in notes:
            console.print(note, markup=False, soft_wrap=True)
        finished = _execute(request, worker, console, options)
    finally:
        worker.discard()
    is_first = rank is None or rank.number == 0
    show(finished, request, console, options, started, with_table=is_first and not options.quiet)
    return exit_code(finished.rows, interrupted=finished.interrupted)


def _request(
    options: RunOptions,
    config: Config,
    cases: Sequence[Case],
    description: BackendDescription,
    rank: Rank | None,
) -> tuple[Request, list[str]]:
    """Choose devices, implementations, ceilings and files; return notes on the ceilings, too."""
    from bench.measure.discovery import choose_devices, choose_implementation, devices_of_ranks
    from bench.measure.jobs import plan
    from bench.measure.launcher import device_of, path_of
    from bench.measure.run import Request
    from bench.results.ceilings import choose_ceilings, place_of
    from bench.results.journal import journal_path
    from bench.results.samples import samples_path

    wanted = options.device
    if wanted is None:
        indices = [device.index for device in description.devices]
        wanted = "0" if rank is None else device_of(rank, indices)
    devices = choose_devices(wanted, description.devices)
    rank_devices = []
    if options.ranks is not None:
        rank_devices = devices_of_ranks(options.ranks, options.device, description)
        devices = rank_devices[:1]
    names = {case.kernel.name for case in cases}
    offered = {name: description.implementations.get(name, []) for name in names}
    implementation = choose_implementation(options.implementation, offered)
    places = {
        device.index: place_of(device, description.name, description.versions) for device in devices
    }
    ceilings, notes = choose_ceilings(options.ceiling, places)
    path = options.output or default_path(config.name, description.name)
    if rank is not None:
        path = path_of(rank, path, socket.gethostname())
    check_names(path, samples_path(path), journal_path(path))
    request = Request(
        config=config,
        measurement=options.measurement(config.measurement),
        description=description,
        jobs=plan(cases, devices, offered, implementation),
        threads=options.threads,
        path=path,
        together=options.together,
        resume=options.resume,
        force=options.force,
        stages=options.stages,
        ceilings=ceilings,
        rank_devices=[device.index for device in rank_devices],
    )
    return request, notes


def _execute(
    request: Request, worker: WorkerProcess, console: Console, options: RunOptions
) -> Finished:
    """Run the jobs with the progress display that fits the terminal."""
    from bench.cli.progress import progress_display
    from bench.measure.run import execute

    with ExitStack() as stack:

        def observer(done: int) -> Silent:
            display = progress_display(console, request, done, quiet=options.quiet)
            stack.callback(display.close)
            return display

        def note(text: str) -> None:
            console.print(text, markup=False)

        return execute(request, worker, observer, options.worker_output(console), note)
