"""What `bench project` prints: each quantity with its interval, then every assumption behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.claims import cell
from bench.analysis.estimate import Estimate
from bench.analysis.projection import (
    Training,
    bytes_each,
    measured_layers,
    published,
    rest_parameters,
    step,
    train,
    training_flops_per_token,
)
from bench.chip_table import Chip
from bench.cli.format import with_interval
from bench.errors import UsageError, one_of
from bench.models import Model
from bench.prices import parse_estimate

Row = Mapping[str, object]


@dataclass(frozen=True)
class Asked:
    """The options, as given."""

    model: str
    chip: str
    chips: int
    dtype: str
    results: tuple[str, ...]
    tokens: str | None
    utilization: str | None
    efficiency: str
    days: float | None
    sequence: int | None
    attention_width: int | None
    attention: str
    published: str | None
    prefill: int | None
    decode: int | None
    context: int | None
    kv_bytes: int | None


def training_lines(asked: Asked, model: Model, chip: Chip, rows: Sequence[Row]) -> list[str]:
    """Return the projection of a training run, and what it assumes."""
    peak = chip.limits(asked.dtype).peak_tflops
    if peak is None:
        raise UsageError(f"--chip {chip.id}: no peak in {asked.dtype} is known")
    if (asked.sequence is None) != (asked.attention_width is None):
        raise UsageError("--sequence and --attention-width belong together")
    if asked.days is not None and not 0 < asked.days < 1e6:
        raise UsageError(f"--days: expected more than 0, got {asked.days:g}")
    active = published(model.active_params_b, "active parameters", asked.model)
    counted = asked.attention if asked.sequence else "none"
    flops = training_flops_per_token(
        active,
        layers=model.layers,
        sequence=asked.sequence or 0,
        attention_width=asked.attention_width or 0,
        attention=counted,  # type: ignore[arg-type]
    )
    if asked.utilization is not None:
        utilization = parse_estimate(asked.utilization, "--utilization", most=1.0)
        origin = "assumed"
    else:
        utilization, origin = measured_utilization(asked, chip, rows)
    tokens = parse_estimate(asked.tokens, "--tokens").value if asked.tokens else None
    efficiency = parse_estimate(asked.efficiency, "--efficiency", most=1.0)
    run = train(
        flops,
        peak_tflops=peak,
        chips=asked.chips,
        utilization=utilization,
        efficiency=efficiency,
        tokens=tokens,
    )
    lines = [f"Training {model.title} on {asked.chips} × {chip.title}, {asked.dtype}", ""]
    lines.append(line("tokens a second", run.tokens_per_s))
    if run.days and run.chip_hours:
        lines += [line("days", run.days), line("chip-hours", run.chip_hours)]
    if asked.days is not None:
        needed = run.chips_for(asked.days)
        if needed is None:
            raise UsageError("--days: needs --tokens")
        lines.append(line(f"chips for {asked.days:g} days", needed))
    if asked.published:
        lines.append(against_published(run, asked.published))
    attention = (
        f"{counted} attention over sequences of {asked.sequence} tokens, width {asked.attention_width}"
        if asked.sequence
        else "no attention (give --sequence and --attention-width to count it)"
    )
    lines += [
        "",
        "Assumptions",
        f"- {flops / 1e9:.4g} GFLOP a token: 6 × {active / 1e9:g} billion active parameters "
        f"(arXiv 2001.08361), {attention}; nothing computed twice",
        f"- peak {peak:g} TFLOP/s a chip: {chip.limits(asked.dtype).peak_source}",
        f"- utilization {with_interval(utilization)}, {origin}",
        f"- parallel efficiency {with_interval(efficiency)}, assumed, and the same for any number of chips",
    ]
    if tokens:
        lines.append(f"- {tokens:.4g} tokens, each seen once, without restarts")
    return lines


def measured_utilization(asked: Asked, chip: Chip, rows: Sequence[Row]) -> tuple[Estimate, str]:
    """Return the highest utilization of the measured layers, and how it was measured.

    Layers with their gradients go before those of a forward pass alone.
    """
    trained = [
        row for row in rows if row["pass"] == "forward_backward" and row["model"] == asked.model
    ]
    passes = "forward_backward" if trained else "forward"
    layers = measured_layers(rows, asked.model, chip.id, asked.dtype, passes)
    usable = [row for row in layers.rows.values() if row["utilization"]]
    if not usable:
        raise UsageError("the measured layers have no utilization; give --utilization")
    best = max(usable, key=lambda row: cell(row, "utilization").value)
    what = "with its gradients" if trained else "in the forward pass"
    return cell(best, "utilization"), (
        f"measured: one layer {what} at {best['tokens']} tokens "
        f"({best['source'] or best['file']}), which no whole run exceeds"
    )


def against_published(run: Training, option: str) -> str:
    """Return the line that holds a projected quantity against what was published of it."""
    known = {"tokens-per-s": run.tokens_per_s, "days": run.days, "chip-hours": run.chip_hours}
    name, equals, text = option.partition("=")
    if not equals or name not in known:
        raise UsageError(f"--published: expected WHAT=VALUE, got {option!r}{one_of(name, known)}")
    projected = known[name]
    if projected is None:
        raise UsageError(f"--published {name}: needs --tokens")
    value = parse_estimate(text, f"--published {name}")
    ratio = projected / value
    return line(f"projected over published {name}", ratio)


def inference_lines(asked: Asked, model: Model, chip: Chip, rows: Sequence[Row]) -> list[str]:
    """Return tokens a second and the memory check, and what they assume."""
    if (asked.context is None) != (asked.kv_bytes is None):
        raise UsageError("--context and --kv-bytes belong together")
    layers = measured_layers(rows, asked.model, chip.id, asked.dtype)
    cached = (asked.context or 0) * (asked.kv_bytes or 0)
    lines = [f"Inference of {model.title} on {asked.chips} × {chip.title}, {asked.dtype}", ""]
    for name, tokens in (("prefill", asked.prefill), ("decode", asked.decode)):
        if tokens is None:
            continue
        read = cached * tokens if name == "decode" else 0
        found = step(layers, model, tokens, cache_bytes=read)
        lines.append(line(f"{name}, tokens a second and chip", found.tokens_per_s))
        layer_share = found.layers_s / (found.layers_s + found.rest_s + found.cache_s)
        lines.append(line(f"{name}, share of the MoE layers", layer_share))
    total = published(model.total_params_b, "parameters", asked.model)
    weights = total * bytes_each(asked.dtype) / asked.chips / 1e9
    held = cached * (asked.decode or 1) / 1e9
    needed = weights + held
    memory = chip.memory_gb
    if memory is None:
        lines.append(f"{'memory':38} {needed:.4g} GB a chip; its size is not known")
    else:
        verdict = "fits" if needed <= memory else "does not fit"
        lines.append(
            f"{'memory':38} {weights:.4g} GB of weights + {held:.4g} GB of keys and values "
            f"of {memory:g} GB: {verdict}"
        )
    row = next(iter(layers.rows.values()))
    sources = sorted({str(found["source"] or found["file"]) for found in layers.rows.values()})
    kv = (
        f"keys and values of {asked.context} tokens a sequence, {asked.kv_bytes} bytes each, read once"
        if asked.context
        else "attention over keys and values left out (give --context and --kv-bytes)"
    )
    return [
        *lines,
        "",
        "Assumptions",
        f"- {model.moe_layers} equal mixture-of-experts layers, measured by {row['kernel']} at "
        f"{', '.join(map(str, sorted(layers.rows)))} tokens, experts over "
        f"{row['expert_parallel']} device(s), and interpolated on logarithmic axes",
        *(f"  - {source}" for source in sources),
        f"- the other {rest_parameters(layers, model) / 1e9:.3g} billion active parameters at the best "
        f"rates of this chip in these rows: {layers.matmul_tflops:.4g} TFLOP/s, "
        f"{layers.memory_gbps:.4g} GB/s",
        f"- {kv}",
        "- weights spread evenly over the chips; communication left out",
    ]


def line(name: str, estimate: Estimate) -> str:
    """Return a line of the table of quantities."""
    return f"{name:38} {with_interval(estimate)}"
