"""What a model needs: training days and chip-hours, inference rates, memory; all with intervals.

Training FLOPs a token are 6·N for N active parameters: two a parameter forward and four backward
(Kaplan et al. 2020, arXiv 2001.08361, section 2.1). Attention adds three times what it does forward
(bench.analysis.attention). Work that is done twice to save memory does not count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.analysis.attention import AttentionWork
from bench.analysis.estimate import Estimate, exactly
from bench.analysis.row_estimates import row_estimate
from bench.catalog.model_size import active_parameters, total_parameters
from bench.catalog.models import Model
from bench.errors import UsageError
from bench.kernels.dtypes import DTYPES

Row = Mapping[str, object]

SECONDS_A_DAY = 86400.0
LAYER_KERNELS = ("moe_layer", "moe_experts")


@dataclass(frozen=True)
class Training:
    """A training run: `tokens_per_s` of all chips together, and what follows for a number of tokens."""

    flops_per_token: float
    tokens_per_s: Estimate
    chips: int
    tokens: float | None

    @property
    def days(self) -> Estimate | None:
        """Days for all tokens."""
        if self.tokens is None:
            return None
        return exactly(self.tokens) / self.tokens_per_s / exactly(SECONDS_A_DAY)

    @property
    def chip_hours(self) -> Estimate | None:
        """Hours of all chips together."""
        return self.days and self.days * exactly(24 * self.chips)

    def chips_for(self, days: float) -> Estimate | None:
        """Return the chips that finish within some days, if the efficiency stays what it is."""
        return self.days and self.days * exactly(self.chips / days)


def training_flops_per_token(active_parameters: float, attention_flops: float = 0.0) -> float:
    """Return the FLOPs of one token, forward and backward; `attention_flops` are its forward ones."""
    return 6 * active_parameters + 3 * attention_flops


def train(
    flops_per_token: float,
    *,
    peak_tflops: float,
    chips: int,
    utilization: Estimate,
    efficiency: Estimate,
    tokens: float | None,
) -> Training:
    """Return what a run achieves: chips × peak × utilization × efficiency over a token's FLOPs."""
    rate = exactly(peak_tflops * 1e12 * chips) * utilization * efficiency
    return Training(flops_per_token, rate / exactly(flops_per_token), chips, tokens)


@dataclass(frozen=True)
class Layers:
    """The measured layers of one model on one chip in one dtype, by their number of tokens.

    What the rest of the model is assumed to reach: `matmul_tflops` is the highest rate of this chip in
    any of the rows, `memory_gbps` the highest in these layers, whose weights no cache holds.
    """

    chip: str
    model: str
    dtype: str
    rows: Mapping[int, Row]
    matmul_tflops: float
    memory_gbps: float

    def time_s(self, tokens: int) -> Estimate:
        """Return a layer's time, interpolated between the nearest numbers of tokens.

        Straight on logarithmic axes, as a roofline is: flat while weights are read, proportional
        once products bound it. Raises UsageError outside what was measured.
        """
        known = sorted(self.rows)
        if not known[0] <= tokens <= known[-1]:
            raise UsageError(
                f"{self.model} on {self.chip} in {self.dtype} was measured from {known[0]} to "
                f"{known[-1]} tokens a device, not at {tokens}: measure it there"
            )
        below = max(count for count in known if count <= tokens)
        above = min(count for count in known if count >= tokens)
        first, last = (row_estimate(self.rows[count], "time_median_s") for count in (below, above))
        if below == above:
            return first
        share = math.log(tokens / below) / math.log(above / below)
        return first.power(1 - share) * last.power(share)


def measured_layers(
    rows: Iterable[Row], model: str, chip: str, dtype: str, passes: str = "forward"
) -> Layers:
    """Return the fastest layer of each number of tokens. Raises UsageError if there is none.

    Balanced or uniform routing goes before skewed, and of several numbers of devices that share the
    experts the largest.
    """
    same = [
        row
        for row in rows
        if (row["chip"], row["dtype"], row["status"]) == (chip, dtype, "ok") and not row["stage"]
    ]
    layers = [
        row
        for row in same
        if row["kernel"] in LAYER_KERNELS and (row["model"], row["pass"]) == (model, passes)
    ]
    if not layers:
        raise UsageError(
            f"no row of {model} on {chip} in {dtype}: measure it with a config like "
            "moe-deepseek-v3, and give the result file with --results"
        )
    even = [row for row in layers if row["routing"] != "power_law"] or layers
    shared = max(_count(row, "expert_parallel") for row in even)
    fastest: dict[int, Row] = {}
    for row in even:
        tokens = _count(row, "tokens")
        known = fastest.get(tokens)
        if _count(row, "expert_parallel") == shared and (
            known is None or _time(row) < _time(known)
        ):
            fastest[tokens] = row
    return Layers(
        chip,
        model,
        dtype,
        fastest,
        _best(same, "achieved_tflops", "peak_tflops"),
        _best(layers, "achieved_gbps", "peak_gbps"),
    )


@dataclass(frozen=True)
class Step:
    """One pass of some tokens through all layers on one chip."""

    tokens: int
    layers_s: Estimate
    rest_s: Estimate
    attention_s: Estimate

    @property
    def time_s(self) -> Estimate:
        """All of it, one after the other."""
        return self.layers_s + self.rest_s + self.attention_s

    @property
    def tokens_per_s(self) -> Estimate:
        """Tokens a second and chip."""
        return exactly(self.tokens) / self.time_s


def step(layers: Layers, model: Model, tokens: int, attention: AttentionWork | None = None) -> Step:
    """Return the time of all mixture-of-experts layers, and of the rest of the model by a roofline.

    The rest are the active parameters outside of what was measured: two FLOPs each a token, and each
    read once a step. `attention` is what the step does beyond parameters.
    """
    rest = rest_parameters(layers, model)
    work = attention or AttentionWork()
    return Step(
        tokens=tokens,
        layers_s=layers.time_s(tokens) * exactly(model.moe_layers),
        rest_s=_roofline(layers, 2 * rest * tokens, rest * bytes_each(layers.dtype)),
        attention_s=_roofline(layers, work.flops, work.read_bytes),
    )


def rest_parameters(layers: Layers, model: Model) -> float:
    """Return the active parameters that the measured layers do not have."""
    matrices = 3 if model.gated else 2
    one = model.top_k * matrices * (model.expert_hidden or model.hidden) * model.intermediate
    row = next(iter(layers.rows.values()))
    if row["kernel"] == "moe_layer":
        one += model.hidden * model.experts
        one += matrices * model.hidden * model.shared_intermediate
    return max(0.0, active_size(model) - model.moe_layers * one)


def active_size(model: Model) -> float:
    """Return the active parameters as published, or where nobody says, as counted from the shape."""
    return 1e9 * model.active_params_b if model.active_params_b else active_parameters(model)


def total_size(model: Model) -> float:
    """Return all parameters as published, or where nobody says, as counted from the shape."""
    return 1e9 * model.total_params_b if model.total_params_b else total_parameters(model)


def bytes_each(dtype: str) -> float:
    """Return the bytes of a weight, with its part of the scale of a block."""
    return DTYPES[dtype].average_bits / 8


def _roofline(layers: Layers, flops: float, read_bytes: float) -> Estimate:
    """Return the time that products or memory bound, whichever takes longer."""
    compute = flops / (layers.matmul_tflops * 1e12)
    memory = read_bytes / (layers.memory_gbps * 1e9)
    return exactly(max(compute, memory))


def _best(rows: Iterable[Row], rate: str, peak: str) -> float:
    """Return the highest rate, at most the peak: caches make small cases seem faster than memory."""
    found = [min(_number(row[rate]), _number(row[peak] or math.inf)) for row in rows if row[rate]]
    if not found:
        raise UsageError(f"no row has {rate}, which the rest of the model would be projected with")
    return max(found)


def _time(row: Row) -> float:
    return _number(row["time_median_s"])


def _count(row: Row, column: str) -> int:
    return int(_number(row[column] or 1))


def _number(value: object) -> float:
    assert isinstance(value, (int, float))
    return float(value)
