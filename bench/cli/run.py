"""`bench run`: config and options in, rows and samples out."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import fraction, positive, processors
from bench.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.measure.run import Finished, Request

EXIT_CASE_FAILED = 1
EXIT_INTERRUPTED = 130

# Statuses of a run that did what it could.
FINE = ("ok", "unsupported")


@click.command("run", context_settings={"max_content_width": 100})
@click.argument("config", default="smoke")
@click.option("--backend", metavar="NAME", help="cpu, cuda, ascend, … [default: the best present]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Result file. [default: results/local/CONFIG-BACKEND-TIME.csv]",
)
@click.option(
    "--device",
    help="An index, a list 0,1, or `all`. [default: 0, or under srun, mpirun or torchrun the local rank]",
)
@click.option(
    "--together",
    "--parallel",
    "together",
    is_flag=True,
    help="Measure each case on all chosen devices at the same time, each for the whole time budget.",
)
@click.option(
    "--filter",
    "filter_text",
    metavar="KEY=VALUE,…",
    help="Only the cases that match, such as 'kernel=matmul,dtype=bfloat16'.",
)
@click.option("--list-cases", is_flag=True, help="Show what would run, and end.")
@click.option(
    "--implementation",
    default="best",
    show_default=True,
    help="`best`, `all`, or a name from `bench list implementations`.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    help="Most visits to a case, spread over the run; their scatter makes the interval. Six are "
    "enough where they agree within --precision; 1 is a quick look. [default: the config's, else 8]",
)
@click.option(
    "--case-timeout",
    type=float,
    callback=positive,
    help="Seconds until a visit to a case is given up.",
)
@click.option(
    "--time-budget",
    type=float,
    callback=positive,
    help="Seconds that a case is measured for, over all rounds.",
)
@click.option(
    "--precision",
    type=float,
    callback=fraction,
    help="Relative half-width of the 95 % interval at which a case needs no further round.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of inputs and routing.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    callback=processors,
    help="CPU threads. [default: one a core]",
)
@click.option(
    "--stages",
    is_flag=True,
    help="Also time the stages of a layer: gate, dispatch, experts, …; a row each.",
)
@click.option(
    "--ceiling",
    metavar="FILE",
    help="What `bench ceiling` wrote of this device, or `none`. [default: what it kept, if it fits]",
)
@click.option("--resume", is_flag=True, help="Go on with the file of an earlier run.")
@click.option("--force", is_flag=True, help="Replace an existing file; allow very many cases.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="What is written to standard output at the end.",
)
@click.option("-v", "--verbose", is_flag=True, help="Say more: device, limits, where time went.")
@click.option("--debug", is_flag=True, help="Show tracebacks and what workers print.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no table.")
def command(
    config: str,
    filter_text: str | None,
    list_cases: bool,
    force: bool,
    **options: Any,
) -> int:
    """Measure the cases of CONFIG and write a result CSV.

    CONFIG is a file or the name of a shipped config (see `bench list configs`). Every result is
    verified against a reference before it is timed. Each row is on disk the moment its case ends;
    samples go to NAME.pyperf.json beside it.

    \b
    Exit codes: 0 all cases ok or unsupported, 1 a case failed, 2 bad usage or config,
    130 interrupted by Ctrl-C, SIGTERM or SIGHUP (the rows so far are kept; go on with --resume).

    Under srun, mpirun, torchrun or as an indexed job of Kubernetes, each rank measures the device of
    its local rank and writes a file of its own, NAME-HOST-RANK.csv; `bench merge` makes one of them.
    """
    started = time.monotonic()
    from bench.config.filters import parse_filter
    from bench.config.load import load_config

    if options["resume"] and force:
        raise UsageError("--resume keeps the file and --force replaces it: give one of them")
    if options["resume"] and options["output"] is None:
        raise UsageError("--resume: say which file, with -o FILE.csv")
    loaded = load_config(config, force=force)
    cases = loaded.cases
    if filter_text is not None:
        cases = parse_filter(filter_text).select(cases)
    if list_cases:
        for case in cases:
            click.echo(f"{case.case_id}  {case.title}")
        return 0
    given = {
        "rounds": options["rounds"],
        "case_timeout_s": options["case_timeout"],
        "time_budget_s": options["time_budget"],
        "precision": options["precision"],
        "seed": options["seed"],
    }
    measurement = loaded.measurement.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )

    from bench.cli.progress import console_of
    from bench.cli.run_output import announce, show
    from bench.measure.discovery import choose_backend, choose_devices, choose_implementation
    from bench.measure.jobs import plan
    from bench.measure.launcher import device_of, find_rank, path_of
    from bench.measure.run import Request
    from bench.results.ceilings import choose_ceilings, place_of

    rank = find_rank(os.environ)
    if rank is not None and rank.alone:
        rank = None
    options["table"] = not options["quiet"] and (rank is None or rank.number == 0)
    console = console_of(rank, quiet=options["quiet"])
    with console.status("looking for devices"):
        description, worker = choose_backend(options["backend"], options["threads"])
    try:
        place = options["device"]
        if place is None:
            present = [device.index for device in description.devices]
            place = "0" if rank is None else device_of(rank, present)
        devices = choose_devices(place, description.devices)
        wanted = {case.kernel.name for case in cases}
        offered = {name: description.implementations.get(name, []) for name in wanted}
        implementation = choose_implementation(options["implementation"], offered)
        jobs = plan(cases, devices, offered, implementation)
        places = {
            device.index: place_of(device, description.name, description.versions)
            for device in devices
        }
        ceilings, notes = choose_ceilings(options["ceiling"], places)
        path = options["output"] or default_path(loaded.name, description.name)
        request = Request(
            config=loaded,
            measurement=measurement,
            description=description,
            jobs=jobs,
            threads=options["threads"],
            path=path if rank is None else path_of(rank, path, socket.gethostname()),
            together=options["together"],
            resume=options["resume"],
            force=force,
            stages=options["stages"],
            ceilings=ceilings,
        )
        announce(request, console, options["verbose"])
        for note in notes:
            console.print(note, markup=False, soft_wrap=True)
        finished = _execute(request, worker, console, options)
    finally:
        worker.discard()
    show(finished, request, console, options, started)
    if finished.interrupted:
        return EXIT_INTERRUPTED
    return 0 if all(row["status"] in FINE for row in finished.rows) else EXIT_CASE_FAILED


def default_path(config: str, backend: str) -> Path:
    """Return a name that no earlier run has taken."""
    return Path(f"results/local/{config}-{backend}-{time.strftime('%Y%m%d-%H%M%S')}.csv")


def _execute(request: Request, worker: Any, console: Console, options: dict[str, Any]) -> Finished:
    """Run the jobs with the progress display that fits the terminal."""
    from bench.cli.progress import LiveProgress, PlainProgress, Silent
    from bench.measure.run import execute

    display = Silent()

    def observer(done: int) -> Silent:
        nonlocal display
        if options["quiet"]:
            display = Silent()
        elif console.is_terminal:
            display = LiveProgress(console, len(request.jobs), done, request.measurement.rounds)
        else:
            display = PlainProgress(console, len(request.jobs), request.measurement.rounds)
        return display

    def worker_output(text: str) -> None:
        if options["debug"] and text.strip():
            console.print(text.rstrip(), markup=False, style="dim")

    def note(text: str) -> None:
        console.print(text, markup=False)

    try:
        return execute(request, worker, observer, worker_output, note)
    finally:
        display.close()
