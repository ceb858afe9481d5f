"""The program `bench`: runs a command, and turns errors into messages and exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import resource
import sys
import warnings
from typing import Any

import click

import bench
from bench.cli.streams import open_standard_streams
from bench.errors import BenchError, InputWarning, UsageError, one_of
from bench.text.format import printable

# Characters of a line; values that messages quote may be of any length.
LONGEST_MESSAGE = 2000

# Libraries abort when they cannot open their files.
LEAST_OPEN_FILES = 64

# Errors that come from a path that the user has given.
OF_A_PATH = {
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EACCES,
    errno.ELOOP,
}

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130

# A command is imported when it is used, so that `bench --help` is fast.
COMMANDS = {
    "run": "Measure the cases of a config on a device; write a result CSV.",
    "show": "Show the rows of result files: sorted, filtered, as a table, Markdown, CSV or JSON.",
    "ceiling": "Search for the highest rates that a device reaches, to compare later runs with.",
    "compare": "Compare devices case by case: which is faster, at what, and how certain that is.",
    "report": "Write an HTML page with charts of result files.",
    "claims": "Judge published claims by measurements.",
    "cost": "Price results: $ per exaFLOP and per million tokens.",
    "project": "Project a model's training or inference from results.",
    "doctor": "Report what is installed, what is missing, and what will distort a measurement.",
    "merge": "Combine result files, such as those of the ranks of a cluster.",
    "import": "Convert results of other benchmarks: nvbench, xpu-perf, aiconfigurator.",
    "list": "List backends, kernels, implementations, configs, chips, models or devices.",
    "models": "Add a model from its Hugging Face config.json.",
    "validate": "Check that result files are sound.",
    "validate-config": "Check a config without running it.",
    "schema": "Print the JSON schema of configs or results.",
}


class LazyGroup(click.Group):
    """A group of commands, each in the module `bench.cli.NAME`, which is imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return a command."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"bench.cli.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Suggest the nearest command for an unknown name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}{one_of(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bench.__version__, prog_name="bench")
def cli() -> None:
    """Measure accelerators by verified matrix products and mixture-of-experts layers.

    \b
    bench run                       the smoke config on the best available device
    bench run matmul --backend cpu  a shipped config on a chosen backend
    bench run my.yaml -o my.csv     your own config and result file
    """


def main() -> None:
    """Run the program and exit; a user's mistake is one sentence, with a traceback under --debug only."""
    output = open_standard_streams()
    if os.environ.get("COLUMNS", "").strip("0") == "":
        os.environ.pop("COLUMNS", None)  # 0 means unknown
    _say_warnings_plainly()
    status = _run_command()
    sys.stdout.flush()
    if output.error is not None:
        click.echo(f"bench: standard output: cannot write: {output.error.strerror}", err=True)
        status = status or EXIT_FAILED
    sys.exit(status)


def _run_command() -> int:
    """Run the command, print what went wrong, and return the exit code."""
    try:
        _allow_open_files()
        status = cli.main(standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.Abort:
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:
        if "--debug" in sys.argv or os.environ.get("BENCH_DEBUG"):
            raise
        if isinstance(error, BenchError):
            _complain(str(error))
            return error.exit_code
        if isinstance(error, (OSError, MemoryError)):
            _complain(_machine_limit(error))
            return EXIT_USAGE if getattr(error, "errno", None) in OF_A_PATH else EXIT_FAILED
        _complain(
            f"internal error: {type(error).__name__}: {error}\n"
            "this is a bug; with BENCH_DEBUG=1 in the environment, the same command shows where"
        )
        return EXIT_INTERNAL


def _allow_open_files() -> None:
    """Raise the limit of open files if it is very low. Raises UsageError if that is not permitted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= LEAST_OPEN_FILES:
        return
    if hard != resource.RLIM_INFINITY and hard < LEAST_OPEN_FILES:
        raise UsageError(
            f"only {hard} files may be open at a time, bench needs {LEAST_OPEN_FILES}: "
            "raise the limit with ulimit -n"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (LEAST_OPEN_FILES, hard))


def _complain(text: str) -> None:
    for line in text.splitlines():
        if len(line) > LONGEST_MESSAGE:
            half = LONGEST_MESSAGE // 2
            line = f"{line[:half]} … {line[-half:]}"
        click.echo(f"bench: {printable(line)}", err=True)


def _machine_limit(error: OSError | MemoryError) -> str:
    """Return a sentence about a file, memory or another resource that the machine refused."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    text = error.strerror or str(error)
    if error.errno == errno.EMFILE:
        text += "; raise the limit with ulimit -n"
    return f"{error.filename}: {text}" if error.filename is not None else text


def _say_warnings_plainly() -> None:
    """Print warnings about input files as a sentence, without a line of our code."""
    show = warnings.showwarning

    def show_plainly(
        message: Warning | str, category: type[Warning], *place: Any, **more: Any
    ) -> None:
        if issubclass(category, InputWarning):
            click.echo(f"bench: warning: {printable(str(message))}", err=True)
        else:
            show(message, category, *place, **more)

    warnings.showwarning = show_plainly
    warnings.simplefilter("always", InputWarning)
