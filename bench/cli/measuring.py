"""What `bench run` and `bench ceiling` share: options, exit codes, and the names of their files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import format_option, processors
from bench.errors import UsageError
from bench.results.columns import Row

if TYPE_CHECKING:
    from rich.console import Console

EXIT_CASE_FAILED = 1
EXIT_INTERRUPTED = 130

# Statuses that do not make the exit code 1.
EXPECTED_STATUSES = ("ok", "unsupported")

BACKEND = click.option(
    "--backend", metavar="NAME", help="cpu, cuda, ascend, … [default: the best one available]"
)
THREADS = click.option(
    "--threads",
    type=click.IntRange(min=1),
    callback=processors,
    help="CPU threads. [default: one per core]",
)
FORMAT = format_option("Format of the rows on standard output at the end.")
DEBUG = click.option("--debug", is_flag=True, help="Show tracebacks and the output of workers.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress and no table.")


@dataclass(frozen=True, kw_only=True)
class MeasuringOptions:
    """The options that both commands have; None means that the default depends on the machine."""

    backend: str | None
    device: str | None
    output: Path | None
    seed: int | None
    threads: int | None
    force: bool
    form: str
    verbose: bool
    debug: bool
    quiet: bool

    def worker_output(self, console: Console) -> Callable[[str], None]:
        """Return a function that prints the output of workers under --debug and drops it otherwise."""

        def show(text: str) -> None:
            if self.debug and text.strip():
                console.print(text.rstrip(), markup=False, style="dim")

        return show


def exit_code(rows: Iterable[Row], *, interrupted: bool) -> int:
    """Return the exit code for the rows of a run."""
    if interrupted:
        return EXIT_INTERRUPTED
    return 0 if all(row["status"] in EXPECTED_STATUSES for row in rows) else EXIT_CASE_FAILED


def default_path(config: str, backend: str) -> Path:
    """Return a file name with the time in it, so that no earlier run has taken it."""
    return Path(f"results/local/{config}-{backend}-{time.strftime('%Y%m%d-%H%M%S')}.csv")


def check_names(*paths: Path) -> None:
    """Raise UsageError if the name of a file, or of the temporary one that replaces it, is too long."""
    for path in paths:
        excess = len(os.fsencode(path.name)) + len(".part") - _longest_name(path.parent)
        if excess > 0:
            raise UsageError(
                f"{path}: the name is {excess} bytes too long: choose a shorter one with -o"
            )


def _longest_name(folder: Path) -> int:
    """Return how many bytes a file name may have in a folder, which may not exist yet."""
    for existing in (folder, *folder.parents):
        try:
            return os.pathconf(existing, "PC_NAME_MAX")
        except (OSError, ValueError):
            continue
    return 255
