"""What `bench project` prints: each quantity with its interval, then every assumption behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.attention import (
    AttentionWork,
    decode_attention,
    forward_attention_flops,
    kept_bytes,
    prefill_attention,
    uniform_attention_flops,
)
from bench.analysis.estimate import Estimate
from bench.analysis.projection import (
    Training,
    active_size,
    bytes_each,
    measured_layers,
    rest_parameters,
    step,
    total_size,
    train,
    training_flops_per_token,
)
from bench.analysis.rents import parse_estimate
from bench.analysis.row_estimates import row_estimate
from bench.catalog.chip_table import Chip
from bench.catalog.models import Model, assumed_shapes
from bench.cli.format import with_interval
from bench.errors import UsageError, one_of

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
    if asked.attention_width is not None and asked.sequence is None:
        raise UsageError("--attention-width: needs --sequence")
    if asked.days is not None and not 0 < asked.days < 1e6:
        raise UsageError(f"--days: expected more than 0, got {asked.days:g}")
    active = active_size(model)
    attention_flops, attention = training_attention(asked, model)
    flops = training_flops_per_token(active, attention_flops)
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
    lines = [f"Training {model.name} on {asked.chips} × {chip.title}, {asked.dtype}", ""]
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
    lines += [
        "",
        "Assumptions",
        *shape_notes(asked, model),
        f"- {flops / 1e9:.4g} GFLOP a token: 6 × {active / 1e9:.4g} billion active parameters "
        f"(arXiv 2001.08361), {attention}; nothing computed twice",
        f"- peak {peak:g} TFLOP/s a chip: {chip.limits(asked.dtype).peak_source}",
        f"- utilization {with_interval(utilization)}, {origin}",
        f"- parallel efficiency {with_interval(efficiency)}, assumed, and the same for any number of chips",
    ]
    if tokens:
        lines.append(f"- {tokens:.4g} tokens, each seen once, without restarts")
    return lines


def training_attention(asked: Asked, model: Model) -> tuple[float, str]:
    """Return the FLOPs of a token's attention in a forward pass, and what they are of."""
    if asked.sequence is None:
        return 0.0, "no attention (give --sequence to count it)"
    causal = asked.attention == "causal"
    if asked.attention_width is None:
        flops = forward_attention_flops(model, asked.sequence, causal=causal)
        width = "by the model's shape"
    else:
        flops = uniform_attention_flops(
            model.layers, asked.sequence, asked.attention_width, causal=causal
        )
        width = f"width {asked.attention_width}, as given"
    return flops, f"{asked.attention} attention over sequences of {asked.sequence} tokens, {width}"


def shape_notes(asked: Asked, model: Model) -> list[str]:
    """Return what is not published of a model: its shape, its size."""
    notes = [f"- {sentence}" for sentence in assumed_shapes([asked.model])]
    if model.active_params_b is None:
        notes.append("- the number of active parameters is not published: counted from the shape")
    return notes


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
    best = max(usable, key=lambda row: row_estimate(row, "utilization").value)
    what = "with its gradients" if trained else "in the forward pass"
    return row_estimate(best, "utilization"), (
        f"measured: one layer {what} at {best['tokens']} tokens "
        f"({best['source'] or best['file']}), which no whole run exceeds"
    )


def against_published(run: Training, option: str) -> str:
    """Return the line that holds a projected quantity against what was published of it."""
    known = {"tokens-per-s": run.tokens_per_s, "days": run.days, "chip-hours": run.chip_hours}
    name, equals, text = option.partition("=")
    if not equals:
        raise UsageError(
            f"--published: expected WHAT=VALUE, got {option!r}; WHAT is one of {', '.join(known)}"
        )
    if name not in known:
        raise UsageError(f"--published: expected WHAT=VALUE, got {option!r}{one_of(name, known)}")
    projected = known[name]
    if projected is None:
        raise UsageError(f"--published {name}: needs --tokens")
    value = parse_estimate(text, f"--published {name}")
    ratio = projected / value
    return line(f"projected over published {name}", ratio)


def inference_lines(asked: Asked, model: Model, chip: Chip, rows: Sequence[Row]) -> list[str]:
    """Return tokens a second and the memory check, and what they assume."""
    if asked.kv_bytes is not None and asked.context is None:
        raise UsageError("--kv-bytes: needs --context")
    layers = measured_layers(rows, asked.model, chip.id, asked.dtype)
    lines = [f"Inference of {model.name} on {asked.chips} × {chip.title}, {asked.dtype}", ""]
    for name, tokens in (("prefill", asked.prefill), ("decode", asked.decode)):
        if tokens is None:
            continue
        found = step(layers, model, tokens, inference_attention(asked, model, name, tokens))
        lines.append(line(f"{name}, tokens a second and chip", found.tokens_per_s))
        lines.append(line(f"{name}, share of the MoE layers", found.layers_s / found.time_s))
        if asked.context is not None:
            share = found.attention_s / found.time_s
            lines.append(line(f"{name}, share of attention", share))
    each, keys_and_values = cache_of_a_sequence(asked, model)
    lines.append(memory_line(asked, model, chip, each * (asked.decode or 1)))
    row = next(iter(layers.rows.values()))
    sources = sorted({str(found["source"] or found["file"]) for found in layers.rows.values()})
    return [
        *lines,
        "",
        "Assumptions",
        *shape_notes(asked, model),
        f"- {model.moe_layers} equal mixture-of-experts layers, measured by {row['kernel']} at "
        f"{', '.join(map(str, sorted(layers.rows)))} tokens, experts over "
        f"{row['expert_parallel']} device(s), and interpolated on logarithmic axes",
        *(f"  - {source}" for source in sources),
        f"- the other {rest_parameters(layers, model) / 1e9:.3g} billion active parameters at the best "
        f"rates of this chip in these rows: {layers.matmul_tflops:.4g} TFLOP/s, "
        f"{layers.memory_gbps:.4g} GB/s",
        f"- {keys_and_values}",
        "- weights spread evenly over the chips; communication left out",
    ]


def inference_attention(asked: Asked, model: Model, phase: str, tokens: int) -> AttentionWork:
    """Return the work of a step's attention; none without a context."""
    if asked.context is None:
        return AttentionWork()
    if phase == "prefill":
        return prefill_attention(model, tokens, asked.context)
    return decode_attention(model, tokens, asked.context, asked.kv_bytes)


def cache_of_a_sequence(asked: Asked, model: Model) -> tuple[float, str]:
    """Return the bytes of keys and values of one sequence, and what they and attention assume."""
    if asked.context is None:
        return 0.0, "attention over keys and values left out (give --context)"
    if asked.kv_bytes is not None:
        size, origin = float(asked.context * asked.kv_bytes), f"{asked.kv_bytes} a token, as given"
    else:
        size, origin = kept_bytes(model, asked.context), "by the model's shape, in bfloat16"
    return size, (
        f"{size / 1e6:.4g} MB of keys and values of {asked.context} tokens a sequence ({origin}), read "
        f"once a step of decoding; prompts of as many tokens in prefill; the products of attention "
        f"at the same rate"
    )


def memory_line(asked: Asked, model: Model, chip: Chip, cached_bytes: float) -> str:
    """Return whether weights, keys and values fit into a chip's memory."""
    weights = total_size(model) * bytes_each(asked.dtype) / asked.chips / 1e9
    held = cached_bytes / 1e9
    if chip.memory_gb is None:
        return f"{'memory':38} {weights + held:.4g} GB a chip; its size is not known"
    verdict = "fits" if weights + held <= chip.memory_gb else "does not fit"
    return (
        f"{'memory':38} {weights:.4g} GB of weights + {held:.4g} GB of keys and values "
        f"of {chip.memory_gb:g} GB: {verdict}"
    )


def line(name: str, estimate: Estimate) -> str:
    """Return a line of the table of quantities."""
    return f"{name:38} {with_interval(estimate)}"
