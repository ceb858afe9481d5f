"""The functions `compare`, `cost` and `project` of the package, on frames from `bench.load`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

import pandas as pd

from bench.analysis.compare import DEFAULT_THRESHOLD, Comparison
from bench.analysis.compare import compare as compare_sides
from bench.analysis.estimate import Estimate
from bench.analysis.evidence import rows_of_frame
from bench.analysis.inference import InferencePlan, InferenceProjection, project_inference
from bench.analysis.pairing import COLUMNS
from bench.analysis.pricing import Costs, price_rows
from bench.analysis.quantities import (
    CHIPS,
    PUBLISHED,
    SHARE,
    SIZE,
    TOKENS,
    USD_PER_HOUR,
    USD_PER_KWH,
    Range,
    check_count,
    check_range,
    parse_estimate,
)
from bench.analysis.training import TrainingPlan, TrainingProjection, project_training
from bench.catalog.chips import get_chip
from bench.catalog.models import get_model
from bench.errors import UsageError
from bench.results.columns import NAMES
from bench.results.published import published_rows
from bench.results.sides import sides_of

# A positive number, or its bounds, with the midpoint as the value.
Quantity: TypeAlias = float | tuple[float, float]
Frames: TypeAlias = Mapping[str, pd.DataFrame] | Iterable[pd.DataFrame] | pd.DataFrame


def compare(
    frames: Frames,
    *,
    base: str | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    same_implementation: bool = False,
    simulated: bool = False,
) -> Comparison:
    """Hold devices against a base, case by case, as `bench compare` does.

    `frames` are frames from `bench.load`, whole or filtered: by a label of your own in a dict; or in a
    list, each under its chip, or its file where two have the same chip; or one frame, whose chips are
    compared. The first is the base, or the one that `base` names. Differences below `threshold` do not
    matter. Each side's fastest implementation of a case counts, or with `same_implementation` equal
    ones. `simulated` lets rows of simulated devices count. Raises UsageError where frames cannot be compared.
    """
    if isinstance(frames, Mapping):
        sides = {str(label): _checked(frame, str(label)) for label, frame in frames.items()}
    else:
        given = [frames] if isinstance(frames, pd.DataFrame) else list(frames)
        checked = [_checked(frame, f"frame {n}") for n, frame in enumerate(given, 1)]
        sides = sides_of(checked).frames
    return compare_sides(
        sides,
        base=base,
        threshold=threshold,
        same_implementation=same_implementation,
        simulated=simulated,
    )


def cost(
    rows: pd.DataFrame,
    *,
    prices: Mapping[str, Quantity] | None = None,
    energy_price: Quantity | None = None,
    model: str | None = None,
    context: int | None = None,
) -> Costs:
    """Price results, as `bench cost` does: $ per exaFLOP and per million tokens.

    `rows` is a frame from `bench.load`. `prices` are $ per hour by chip, by default published rents;
    `energy_price`, in $ per kWh, adds electricity where power was measured. `model` asks for one model at
    every number of tokens, `context` counts attention over so many tokens. Raises UsageError for chips
    without a price, for rows of simulated devices, and where no row fits.
    """
    _check_counts(SIZE, context=context)
    shape = None if model is None else get_model(model)
    _checked(rows, "rows", NAMES)
    return price_rows(
        rows_of_frame(rows, "rows"),
        {
            chip: _estimate(price, f"prices[{chip!r}]", USD_PER_HOUR)
            for chip, price in (prices or {}).items()
        },
        usd_per_kwh=(
            None if energy_price is None else _estimate(energy_price, "energy_price", USD_PER_KWH)
        ),
        model=shape,
        context=context,
    )


def project(
    model: str,
    *,
    chip: str,
    chips: int,
    dtype: str = "bfloat16",
    rows: pd.DataFrame | None = None,
    tokens: float | None = None,
    utilization: Quantity | None = None,
    efficiency: Quantity = 1.0,
    days: float | None = None,
    sequence: int | None = None,
    attention_width: int | None = None,
    causal: bool = True,
    published: tuple[str, Quantity] | None = None,
    prefill: int | None = None,
    decode: int | None = None,
    context: int | None = None,
    kv_bytes: int | None = None,
) -> TrainingProjection | InferenceProjection:
    """Project a model as `bench project` does: its inference with `prefill` or `decode`, else its training.

    `rows` is a frame from `bench.load`, by default the published results of the chip. The other arguments
    are the options of the command (docs/cost.md). Raises UsageError for what cannot be projected.
    """
    counts = {"sequence": sequence, "attention_width": attention_width, "prefill": prefill}
    _check_counts(CHIPS, chips=chips)
    _check_counts(SIZE, decode=decode, context=context, kv_bytes=kv_bytes, **counts)
    if tokens is not None:
        check_range(tokens, "tokens", TOKENS)
    shape, device = get_model(model), get_chip(chip)
    if rows is None:
        evidence = published_rows({device.id})
    else:
        evidence = rows_of_frame(_checked(rows, "rows", NAMES), "rows")
    if prefill is not None or decode is not None:
        serving = InferencePlan(chips, dtype, prefill, decode, context, kv_bytes)
        return project_inference(shape, device, serving, evidence)
    training = TrainingPlan(
        chips=chips,
        dtype=dtype,
        tokens=tokens,
        utilization=None if utilization is None else _estimate(utilization, "utilization", SHARE),
        efficiency=_estimate(efficiency, "efficiency", SHARE),
        deadline_days=days,
        sequence=sequence,
        attention_width=attention_width,
        causal=causal,
        published=published and (published[0], _estimate(published[1], "published", PUBLISHED)),
    )
    return project_training(shape, device, training, evidence)


def _estimate(value: Quantity, name: str, allowed: Range) -> Estimate:
    """Return a number or its bounds as the estimate that an option with this text would be."""
    bounds = value if isinstance(value, tuple) else (value,)
    for bound in bounds:
        check_range(bound, name, allowed)
    return parse_estimate("..".join(map(str, bounds)), name, allowed)


def _check_counts(allowed: Range, **counts: int | None) -> None:
    """Raise UsageError for what is no whole number within a range."""
    for name, count in counts.items():
        if count is not None:
            check_count(count, name, allowed)


def _checked(frame: pd.DataFrame, name: str, columns: Collection[str] = COLUMNS) -> pd.DataFrame:
    """Return a frame that has these columns. Raises UsageError for any other."""
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(f"{name}: expected a frame from bench.load, found {frame!r}")
    missing = [column for column in (*columns, "file") if column not in frame]
    if missing:
        raise UsageError(
            f"{name}: lacks {', '.join(missing)}; bench.load without `columns` gives them all"
        )
    return frame
