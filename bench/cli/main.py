"""The program `bench`: finds the command, and turns errors into a sentence and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import Any

import click

import bench
from bench.errors import BenchError, InputWarning, one_of
from bench.text.format import printable

# Each command is imported when it is called for: `bench --help` costs what click costs.
COMMANDS = {
    "run": "Measure the cases of a config on a device; write a result CSV.",
    "show": "Show the rows of a result file: sorted, filtered, as a table, Markdown, CSV or JSON.",
    "ceiling": "Find the highest rates that a device reaches, for later runs to be held against.",
    "compare": "Say which of two devices is faster, at what, and how certain that is.",
    "report": "Write a page with charts about result files.",
    "claims": "Hold published claims against measurements; say which they support.",
    "cost": "Price results: $ per exaFLOP and per million tokens.",
    "project": "Project a model's training or inference from results.",
    "doctor": "Say what is installed, what is missing, and what will distort a measurement.",
    "merge": "Make one result file of many, such as those of the ranks of a cluster.",
    "list": "Show what there is: backends, kernels, configs, chips, models, devices.",
    "models": "Add a model from its Hugging Face config.json.",
    "validate": "Check that a result file is sound.",
    "validate-config": "Check a config without running it.",
    "schema": "Print the JSON schema of configs or results.",
}


class LazyGroup(click.Group):
    """A group whose commands live in `bench.cli.NAME` and are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the table above."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return a command."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"bench.cli.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Name the nearest command when there is none of that name."""
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
    """Measure an accelerator: matrix products and mixture-of-experts layers, verified.

    \b
    bench run                       the smoke config on the best device present
    bench run matmul --backend cpu  a shipped config on a chosen backend
    bench run my.yaml -o my.csv     a config and a result file of your own
    """


def main() -> None:
    """Run the program; a user's mistake ends in one sentence, anything else under --debug only."""
    _open_standard_streams()
    if os.environ.get("COLUMNS", "").strip("0") == "":
        os.environ.pop("COLUMNS", None)  # a width of 0 means that it is not known
    _say_warnings_plainly()
    try:
        status = cli.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of a pipe, `head` for one, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if "--debug" in sys.argv or os.environ.get("BENCH_DEBUG"):
            raise
        if isinstance(error, BenchError):
            for line in str(error).splitlines():
                click.echo(f"bench: {printable(line)}", err=True)
            sys.exit(error.exit_code)
        click.echo(
            f"bench: internal error: {type(error).__name__}: {error}\n"
            "bench: this is a bug; the same command with --debug shows where",
            err=True,
        )
        sys.exit(70)


def _open_standard_streams() -> None:
    """Open what cron and daemons leave closed; else a pipe to a worker gets the number of a stream."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - for good


def _say_warnings_plainly() -> None:
    """Let a warning about an input file be a sentence, without the line of our code that gave it."""
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
