"""`bench project`: days, chips and tokens a second of a model."""

from __future__ import annotations

import click

from bench.cli.options import SIZE, not_empty


@click.command("project")
@click.argument("model", metavar="MODEL")
@click.option("--chip", metavar="ID", required=True, help="Chip, as `bench list chips` names it.")
@click.option("--chips", type=click.IntRange(1, 10**7), required=True, help="Number of chips.")
@click.option(
    "--dtype",
    default="bfloat16",
    show_default=True,
    callback=not_empty,
    help="Number format of the weights.",
)
@click.option("--results", multiple=True, metavar="FILE", help="Result file; may be repeated.")
@click.option(
    "--tokens",
    metavar="N",
    callback=not_empty,
    help="Training: how many tokens, such as 14.8e12; without, only the rate.",
)
@click.option(
    "--utilization",
    metavar="U",
    callback=not_empty,
    help="Training: share of the peak, or LOW..HIGH; without, that of the measured layer.",
)
@click.option(
    "--efficiency",
    default="1",
    show_default=True,
    metavar="E",
    help="Training: what communication and waiting leave of the utilization, or LOW..HIGH.",
)
@click.option("--days", type=float, help="Training: a deadline, for the number of chips it takes.")
@click.option("--sequence", type=SIZE, help="Training: tokens a sequence, to count attention.")
@click.option(
    "--attention-width",
    type=SIZE,
    help="Training: heads × (width of a query + of a value); without, by the model's shape.",
)
@click.option(
    "--attention",
    type=click.Choice(["causal", "full"]),
    default="causal",
    show_default=True,
    help="Training: positions that count.",
)
@click.option(
    "--published",
    metavar="WHAT=VALUE",
    callback=not_empty,
    help="Training: hold tokens-per-s, days or chip-hours against a published value.",
)
@click.option("--prefill", type=SIZE, help="Inference: tokens a chip and step of prefill.")
@click.option("--decode", type=SIZE, help="Inference: sequences a chip that decode at once.")
@click.option(
    "--context",
    type=SIZE,
    help="Inference: tokens of a prompt, or before the next one; counts attention.",
)
@click.option(
    "--kv-bytes",
    type=SIZE,
    help="Inference: bytes of keys and values a token; without, by the model's shape.",
)
def command(**options: object) -> None:
    """Project the training or inference of MODEL, with every assumption listed.

    \b
    bench project deepseek-v3 --chip h800-sxm --chips 2048 --tokens 14.8e12 --utilization 0.3
    bench project deepseek-v3 --chip h100-sxm --chips 32 --decode 64 --context 4096
    """
    from bench.catalog.chips import get_chip
    from bench.catalog.models import get_model
    from bench.cli.evidence import given_rows
    from bench.cli.project_text import Asked, inference_lines, training_lines
    from bench.results.published import published_rows

    asked = Asked(**options)  # type: ignore[arg-type]
    model, chip = get_model(asked.model), get_chip(asked.chip)
    rows = given_rows(asked.results) if asked.results else published_rows({chip.id})
    inference = asked.prefill is not None or asked.decode is not None
    lines = (inference_lines if inference else training_lines)(asked, model, chip, rows)
    for line in lines:
        click.echo(line)
