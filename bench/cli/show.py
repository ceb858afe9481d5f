"""`bench show`: the rows of result files, for people and for other programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.options import InputPath, format_option, not_empty
from bench.errors import UsageError, nearest


@click.command("show", context_settings={"max_content_width": 100})
@click.argument("results", metavar="RESULTS.csv…", nargs=-1, type=InputPath())
@click.option(
    "--filter",
    "expression",
    metavar="KEY=VALUE[,…]",
    callback=not_empty,
    help="Show only matching rows, by columns or parameters: 'kernel=matmul,dtype=bfloat16|int8'.",
)
@click.option(
    "--sort",
    metavar="COLUMN[,…]",
    callback=not_empty,
    help="Sort the rows within their sections; -COLUMN sorts the largest first.",
)
@click.option(
    "--columns", metavar="COLUMN[,…]", callback=not_empty, help="Show only these columns."
)
@format_option("Format of the output; csv and json have every column and digit.")
@click.option("--all", "everything", is_flag=True, help="List every row and every remark.")
def command(
    results: tuple[Path, ...],
    expression: str | None,
    sort: str | None,
    columns: str | None,
    form: str,
    everything: bool,
) -> int:
    """Show the rows of result files, in one section per kernel, dtype and pass.

    RESULTS are files, folders or globs.

    \b
    bench show my.csv --sort -utilization
    bench show my.csv --filter phase=decode --columns model,tokens_per_s
    bench show my.csv --filter dtype=int8 --format csv > int8.csv

    docs/results.md describes the columns. Exit codes: 0 success, 2 bad usage or input.
    """
    from bench.analysis import selection
    from bench.cli import show_output
    from bench.config.filters import parse_filter
    from bench.results.columns import NAMES
    from bench.results.frame_rows import frame_rows
    from bench.results.load import load
    from bench.text.exporters import export
    from bench.text.exporters.terminal import width_of
    from bench.text.row_document import row_document

    if not results:
        raise click.UsageError("name a result file, such as results/local/smoke.csv")
    order = _split(sort)
    keys = [key.removeprefix("-") for key in order]
    _check("--sort", keys)
    names = _split(columns)
    _check("--columns", names)
    chosen = parse_filter(expression) if expression else None
    loaded = load(results)
    frame = loaded if chosen is None else selection.select(loaded, chosen)
    frame = selection.sort(frame, order)
    page = show_output.Page(results, frame, len(loaded), names, everything=everything)
    if form == "table":
        show_output.check_room(page, width_of(sys.stdout))
    exported = names or list(NAMES)
    rows = frame_rows(frame[exported])
    export(row_document(rows, show_output.page_blocks(page), exported), form, sys.stdout)
    return 0


def _split(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _check(option: str, names: Sequence[str]) -> None:
    from bench.results.columns import NAMES

    for name in names:
        if name not in (*NAMES, "file"):
            raise UsageError(
                f"{option}: no column {name!r}{nearest(name, NAMES)}; docs/results.md has them all"
            )
