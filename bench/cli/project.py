"""`bench project`: days, chips and tokens per second of a model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import SIZE, not_empty
from bench.errors import UsageError, one_of

if TYPE_CHECKING:
    from bench.analysis.estimate import Estimate
    from bench.analysis.inference import InferencePlan
    from bench.analysis.training import TrainingPlan


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
    callback=not_empty,
    help="Training: what communication and waiting leave of the utilization, or LOW..HIGH.",
)
@click.option(
    "--days",
    metavar="D",
    callback=not_empty,
    help="Training: a deadline, for the number of chips it takes.",
)
@click.option("--sequence", type=SIZE, help="Training: tokens per sequence, to count attention.")
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
@click.option("--prefill", type=SIZE, help="Inference: tokens per chip and step of prefill.")
@click.option("--decode", type=SIZE, help="Inference: sequences per chip that decode at once.")
@click.option(
    "--context",
    type=SIZE,
    help="Inference: tokens of a prompt, or before the next one; counts attention.",
)
@click.option(
    "--kv-bytes",
    type=SIZE,
    help="Inference: bytes of keys and values per token; without, by the model's shape.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
    help="What is written to standard output.",
)
def command(model: str, chip: str, results: tuple[str, ...], form: str, **options: Any) -> None:
    """Project the training or inference of MODEL, with every assumption listed.

    \b
    bench project deepseek-v3 --chip h800-sxm --chips 2048 --tokens 14.8e12 --utilization 0.3
    bench project qwen3-30b-a3b --chip h100-sxm --chips 8 --decode 16 --context 4096
    """
    from bench.analysis.evidence import given_rows
    from bench.analysis.inference import InferencePlan, InferenceProjection, project_inference
    from bench.analysis.training import TrainingProjection, project_training
    from bench.catalog.chips import get_chip
    from bench.catalog.models import get_model
    from bench.cli.project_output import projection_document
    from bench.results.published import published_rows
    from bench.text.exporters import export

    shape, device = get_model(model), get_chip(chip)
    serves = options["prefill"] is not None or options["decode"] is not None
    plan = _inference_plan(options) if serves else _training_plan(options)
    rows = given_rows(results) if results else published_rows({device.id})
    projection: TrainingProjection | InferenceProjection
    if isinstance(plan, InferencePlan):
        projection = project_inference(shape, device, plan, rows)
    else:
        projection = project_training(shape, device, plan, rows)
    export(projection_document(projection), form, sys.stdout)


def _inference_plan(options: Mapping[str, Any]) -> InferencePlan:
    from bench.analysis.inference import InferencePlan

    names = ("chips", "dtype", "prefill", "decode", "context", "kv_bytes")
    return InferencePlan(**{name: options[name] for name in names})


def _training_plan(options: Mapping[str, Any]) -> TrainingPlan:
    """Return the options that are about training. Raises UsageError naming one that is no number."""
    from bench.analysis.quantities import DAYS, SHARE, TOKENS, parse_estimate, parse_number
    from bench.analysis.training import TrainingPlan

    tokens, utilization, days, published = (
        options[name] for name in ("tokens", "utilization", "days", "published")
    )
    return TrainingPlan(
        chips=options["chips"],
        dtype=options["dtype"],
        tokens=None if tokens is None else parse_number(tokens, "--tokens", TOKENS),
        utilization=(
            None if utilization is None else parse_estimate(utilization, "--utilization", SHARE)
        ),
        efficiency=parse_estimate(options["efficiency"], "--efficiency", SHARE),
        deadline_days=None if days is None else parse_number(days, "--days", DAYS),
        sequence=options["sequence"],
        attention_width=options["attention_width"],
        causal=options["attention"] == "causal",
        published=None if published is None else _published(published),
    )


def _published(option: str) -> tuple[str, Estimate]:
    """Parse WHAT=VALUE. Raises UsageError."""
    from bench.analysis.quantities import PUBLISHED, parse_estimate
    from bench.analysis.training import QUANTITIES

    name, equals, text = option.partition("=")
    if not equals:
        raise UsageError(
            f"--published: expected WHAT=VALUE, got {option!r}; WHAT is one of "
            f"{', '.join(QUANTITIES)}"
        )
    if name not in QUANTITIES:
        expected = one_of(name, QUANTITIES)
        raise UsageError(f"--published: expected WHAT=VALUE, got {option!r}{expected}")
    return name, parse_estimate(text, f"--published {name}", PUBLISHED)
