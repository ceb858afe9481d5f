"""The measured mixture-of-experts layers that a projection rests on, one set per way to run them.

Rows of a set differ in nothing but tokens and implementation, so a set describes one deployment: a kernel,
a routing, a number of devices that share the experts, and which of these devices was measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.estimate import Estimate
from bench.analysis.row_estimates import number, row_estimate
from bench.catalog.models import LAYER_FIELDS, Model
from bench.errors import UsageError
from bench.kernels.moe.layer import MoeLayer

Row = Mapping[str, object]

# In order of preference. A `moe_layer` has router and shared experts, `moe_experts` the routed experts only.
LAYER_KERNELS = ("moe_layer", "moe_experts")
# The fields that a layer's time depends on; shared experts are one MLP, however many they are called.
WHOLE_FIELDS = tuple(name for name in LAYER_FIELDS if name != "shared_experts")
# Those of them that routed experts alone depend on.
EXPERT_FIELDS = (
    *("hidden", "intermediate", "experts", "top_k", "zero_experts"),
    *("expert_hidden", "activation", "gated"),
)
# A parameter that a row or a model does not have is at its default.
DEFAULTS = {name: field.default for name, field in MoeLayer.model_fields.items()}
ROUTINGS = ("balanced", "uniform", "trace", "power_law")
# The hottest device sets the time of a step; without a name a row is of a device with the mean load.
DEVICES = ("hottest", None, "median", "mean")


@dataclass(frozen=True)
class LayerKind:
    """How layers were run: `device` is the measured one of `expert_parallel` that share the experts.

    It is None where the rows do not name it.
    """

    kernel: str
    routing: str
    device: str | None
    expert_parallel: int

    @property
    def layer_text(self) -> str:
        """The kind in words; a step waits for the hottest of the devices that share the experts."""
        kernel = "moe_layer (with router and shared experts)"
        if self.kernel != "moe_layer":
            kernel = f"{self.kernel} (routed experts only)"
        if self.expert_parallel == 1:
            return f"{kernel}, {self.routing} routing, all experts on one chip"
        sharing = f"{self.expert_parallel} chips that share the experts"
        if self.routing == "balanced":
            which = f"one of {sharing}, all with the same load, which no router quite reaches"
        elif self.device == "hottest":
            which = f"the hottest of {sharing}"
        else:
            which = (
                f"the {self.device or 'mean'} of {sharing}; the hottest of them takes longer, and a step "
                "waits for it"
            )
        return f"{kernel}, {self.routing} routing, {which}"


@dataclass(frozen=True)
class Layers:
    """Measured layers of one model on one chip in one dtype, by tokens per device.

    The rest of the model is assumed to reach `matmul_tflops`, the highest rate of this chip in any of
    the rows, and `memory_gbps`, the highest in layers, whose weights no cache holds.
    """

    chip: str
    model: str
    dtype: str
    kind: LayerKind
    rows: Mapping[int, Row]
    matmul_tflops: float
    memory_gbps: float

    def covers(self, tokens: int) -> bool:
        """Whether this number of tokens is within what was measured."""
        return min(self.rows) <= tokens <= max(self.rows)

    def outside(self, tokens: int) -> str:
        """Return that this number of tokens was not measured."""
        return (
            f"{self.model} on {self.chip} in {self.dtype} was measured from {min(self.rows)} to "
            f"{max(self.rows)} tokens per chip, not at {tokens}"
        )

    def time_s(self, tokens: int) -> Estimate:
        """Return a layer's time, interpolated between the nearest numbers of tokens.

        Straight on logarithmic axes, as a roofline is: flat while weights are read, proportional
        once products bound it. Raises UsageError outside what was measured.
        """
        if not self.covers(tokens):
            raise UsageError(self.outside(tokens))
        below = max(count for count in self.rows if count <= tokens)
        above = min(count for count in self.rows if count >= tokens)
        first, last = (row_estimate(self.rows[count], "time_median_s") for count in (below, above))
        if below == above:
            return first
        share = math.log(tokens / below) / math.log(above / below)
        return first.power(1 - share) * last.power(share)


def measured_layers(
    rows: Iterable[Row], model: Model, chip: str, dtype: str, passes: str = "forward"
) -> list[Layers]:
    """Return the sets of measured layers of a model, the preferred one first; none if there are no rows.

    Whole layers go before experts alone, even routing before skewed, the hottest device before others,
    and then the largest number of devices that share the experts. Of equal cases the fastest row counts.
    """
    same = [
        row
        for row in rows
        if (row["chip"], row["dtype"], row["status"]) == (chip, dtype, "ok") and not row["stage"]
    ]
    of_model = [row for row in same if is_layer_of(row, model)]
    sets: dict[str, dict[int, Row]] = {}
    for row in of_model:
        if row["pass"] == passes:
            fastest = sets.setdefault(_all_but_tokens(row), {})
            tokens = int(number(row["tokens"]))
            if tokens not in fastest or _time(row) < _time(fastest[tokens]):
                fastest[tokens] = row
    if not sets:
        return []
    matmul_tflops = _best(same, "achieved_tflops", "peak_tflops")
    memory_gbps = _best(of_model, "achieved_gbps", "peak_gbps")
    layers = [
        Layers(chip, model.id, dtype, _kind(by_tokens), by_tokens, matmul_tflops, memory_gbps)
        for by_tokens in sets.values()
    ]
    return sorted(layers, key=_preference)


def is_layer_of(row: Row, model: Model) -> bool:
    """Whether a row is of the layer of a model: measured under its name, or with the same parameters."""
    if row["kernel"] not in LAYER_KERNELS:
        return False
    if row["model"] == model.id:
        return True
    if row.get("experts") != model.experts:  # most other layers, without reading their parameters
        return False
    given = DEFAULTS | dict(_parameters(row))
    shape = DEFAULTS | model.moe_layer()
    fields = WHOLE_FIELDS if row["kernel"] == "moe_layer" else EXPERT_FIELDS
    return all(given[name] == shape[name] for name in fields)


def _kind(by_tokens: Mapping[int, Row]) -> LayerKind:
    row = next(iter(by_tokens.values()))
    device = _parameters(row).get("device")
    return LayerKind(
        kernel=str(row["kernel"]),
        routing=str(row["routing"]),
        device=None if device is None else str(device),
        expert_parallel=_expert_parallel(row),
    )


def _preference(layers: Layers) -> tuple[int, int, int, int, int]:
    return (
        LAYER_KERNELS.index(layers.kind.kernel),
        _place(layers.kind.routing, ROUTINGS),
        _place(layers.kind.device, DEVICES),
        -layers.kind.expert_parallel,
        -len(layers.rows),
    )


def _place(value: str | None, order: Sequence[str | None]) -> int:
    return order.index(value) if value in order else len(order)


def _all_but_tokens(row: Row) -> str:
    """Return what rows of one set have in common."""
    parameters = {name: value for name, value in _parameters(row).items() if name != "tokens"}
    columns = [str(row["kernel"]), str(row["routing"]), _expert_parallel(row)]
    return json.dumps([columns, parameters], sort_keys=True)


def _parameters(row: Row) -> Mapping[str, object]:
    """Return all parameters of a row's kernel: a file has them as JSON."""
    text = row.get("params")
    parameters = json.loads(text) if isinstance(text, str) and text else text
    return parameters if isinstance(parameters, Mapping) else {}


def _expert_parallel(row: Row) -> int:
    return int(number(row["expert_parallel"] or 1))


def _best(rows: Iterable[Row], rate: str, peak: str) -> float:
    """Return the highest rate, at most the peak: caches make small cases seem faster than memory."""
    rates = [min(number(row[rate]), number(row[peak] or math.inf)) for row in rows if row[rate]]
    if not rates:
        raise UsageError(f"no row has {rate}, which the rest of the model would be projected with")
    return max(rates)


def _time(row: Row) -> float:
    return number(row["time_median_s"])
