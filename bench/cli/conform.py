"""`bench conform`: whether a backend keeps its contract, and whether its numbers are true."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from bench.cli.options import format_option, not_empty, positive

if TYPE_CHECKING:
    from bench.conform.check import CheckResult
    from bench.conform.run import Step
    from bench.text.document import Block, Document

MARKS = {"passed": "ok", "failed": "fail", "not applicable": "–"}
STYLES = {"ok": "green", "fail": "red"}


@click.command("conform")
@click.argument("backend")
@click.option(
    "--device", default=None, metavar="N", help="The index of the device. [default: the first]"
)
@click.option(
    "--implementation",
    callback=not_empty,
    metavar="NAME",
    help="Check only this implementation, named NAME or KERNEL.NAME.",
)
@format_option("Format of the results on standard output.")
@click.option("--json", "form", flag_value="json", help="Same as --format json.")
@click.option(
    "--timeout",
    type=float,
    callback=positive,
    default=120,
    show_default=True,
    help="Seconds that a check may take.",
)
def command(
    backend: str, device: str | None, implementation: str | None, form: str, timeout: float
) -> int:
    """Check that BACKEND keeps the contract of bench/backend.py and that its numbers are true.

    It takes under two minutes. A check that does not apply to the backend says why. A crash or a hang
    fails the check during which it happened.

    Exit codes: 0 no check failed, 1 a check failed, 2 the backend cannot be used here.
    """
    from rich.console import Console

    from bench.conform.run import plan, run
    from bench.errors import UsageError, one_of
    from bench.measure.discovery import choose_backend, choose_devices
    from bench.text.exporters import export

    description, worker = choose_backend(backend)
    worker.discard()
    if not description.devices:
        raise UsageError(f"{backend} has no device here")
    first = str(min(one.index for one in description.devices))
    chosen = choose_devices(first if device is None else device, description.devices)
    if len(chosen) != 1:
        raise UsageError(f"--device: {device!r} names {len(chosen)} devices; conform checks one")
    steps = plan(description, implementation)
    if implementation is not None and not steps:
        known = sorted(
            f"{kernel}.{name}"
            for kernel, names in description.implementations.items()
            for name in names
        )
        raise UsageError(
            f"--implementation: unknown {implementation!r}{one_of(implementation, known)}"
        )
    console = Console(stderr=True)
    with console.status("") as status:

        def begin(step: Step) -> None:
            status.update(f"{step.check.name} {step.target}")

        results = list(run(backend, chosen[0].index, steps, timeout, begin))
    export(results_document(results), form, sys.stdout)
    return int(any(result.verdict == "failed" for result in results))


def results_document(results: Sequence[CheckResult]) -> Document:
    """Return the results for all formats."""
    from bench.text.document import Document

    return Document(
        blocks=_blocks(results),
        records=_records(results),
        data=lambda: [asdict(result) for result in results],
    )


def _blocks(results: Sequence[CheckResult]) -> Iterator[Block]:
    from bench.text.document import Heading, Table, TableColumn

    columns = [
        TableColumn("verdict", "left"),
        TableColumn("check", "left", True),
        TableColumn("seen", "left", True),
    ]
    rows = [
        (MARKS[result.verdict], f"{result.check} {result.target}".strip(), _seen(result))
        for result in results
    ]
    yield Table(columns, rows, styles=STYLES)
    counts = [
        f"{sum(result.verdict == verdict for result in results)} {verdict}"
        for verdict in ("passed", "failed", "not applicable")
    ]
    yield Heading(", ".join(counts))


def _seen(result: CheckResult) -> str:
    if result.verdict != "failed":
        return result.seen
    return f"{result.seen}\nexpected: {result.expected} ({result.contract})"


def _records(results: Sequence[CheckResult]) -> Iterator[Sequence[object]]:
    names = ("check", "target", "verdict", "seen", "expected", "contract", "seconds")
    yield names
    for result in results:
        yield [getattr(result, name) for name in names]
