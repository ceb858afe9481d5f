"""`bench cost`: what results mean in dollars."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.cli.options import SIZE, not_empty


@click.command("cost")
@click.argument("results", metavar="RESULTS.csv…", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="CHIP=$/H",
    help="Price of an hour of a chip, or LOW..HIGH; without, published rents.",
)
@click.option(
    "--energy-price",
    metavar="$/KWH",
    callback=not_empty,
    help="Add the chip's electricity, where power is known.",
)
@click.option(
    "--model",
    metavar="NAME",
    callback=not_empty,
    help="Only this model, at every number of tokens.",
)
@click.option(
    "--context",
    type=SIZE,
    metavar="N",
    help="Count attention over N tokens: of a prompt, or before the next token.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
    help="What is written to standard output.",
)
def command(
    results: tuple[Path, ...],
    prices: tuple[str, ...],
    energy_price: str | None,
    model: str | None,
    context: int | None,
    form: str,
) -> None:
    """Price results: $ per exaFLOP, and $ per million tokens of the models they have layers of.

    \b
    bench cost results/published/nvidia-h100.csv --model qwen3-30b-a3b --context 4096
    bench cost my-910b.csv --price ascend-910b2=1.50 --energy-price 0.10
    """
    from bench.analysis.evidence import given_rows
    from bench.analysis.pricing import price_rows
    from bench.analysis.quantities import USD_PER_KWH, parse_estimate
    from bench.analysis.rents import parse_prices
    from bench.catalog.chips import load_chips
    from bench.catalog.models import get_model
    from bench.cli.cost_output import cost_document
    from bench.errors import UsageError
    from bench.text.exporters import export

    if not results:
        raise click.UsageError("name a result file, such as results/published/nvidia-h100.csv")
    shape = None if model is None else get_model(model)
    rows = given_rows(results)
    if not any(row["status"] == "ok" for row in rows):
        raise UsageError(f"{', '.join(map(str, results))}: no row with a measurement")
    known = dict.fromkeys([*(str(row["chip"]) for row in rows), *load_chips()])
    usd_per_hour = parse_prices(prices, known)
    energy = None
    if energy_price is not None:
        energy = parse_estimate(energy_price, "--energy-price", USD_PER_KWH)
    costs = price_rows(rows, usd_per_hour, usd_per_kwh=energy, model=shape, context=context)
    export(cost_document(costs), form, sys.stdout)
