"""The columns of a result file, declared once: name, type, unit, and what an empty cell means.

`python -m bench.results.schema` prints the table that docs/results.md shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from bench.measure.protocol import STATUSES

# Raised when a column changes its meaning or its place; a reader refuses what is newer than it.
SCHEMA_VERSION = 1

Type = Literal["text", "integer", "number", "boolean", "time", "json"]


@dataclass(frozen=True)
class Column:
    """One column. `required` cells are never empty; `positive` numbers are above zero."""

    group: str
    name: str
    type: Type
    meaning: str
    required: bool = False
    positive: bool = False
    choices: tuple[str, ...] = ()


def _columns() -> Iterator[Column]:
    group = "identity"

    def column(name: str, kind: Type, meaning: str, **more: Any) -> Column:
        return Column(group, name, kind, meaning, **more)

    yield column(
        "schema_version", "integer", f"version of these columns, {SCHEMA_VERSION}", required=True
    )
    yield column(
        "run_id", "text", "one run of `bench run`; a resumed run has several", required=True
    )
    yield column(
        "case_id",
        "text",
        "kernel, dtype and a hash of all parameters: equal on every chip",
        required=True,
    )
    yield column("started_at", "time", "when the case began, UTC", required=True)
    yield column("host", "text", "name of the machine", required=True)
    yield column("config", "text", "name of the config", required=True)
    yield column(
        "config_sha256", "text", "SHA-256 of the config's content, comments aside", required=True
    )
    yield column("git_commit", "text", "commit of the harness, `-dirty` with local changes")
    yield column("harness_version", "text", "version of the harness", required=True)
    yield column("seed", "integer", "seed of inputs and routing", required=True)

    group = "device"
    yield column("backend", "text", "backend that ran the case", required=True)
    yield column(
        "chip", "text", "chip as `bench list chips` knows it, else the device's name", required=True
    )
    yield column("device_name", "text", "name as the driver reports it", required=True)
    yield column("device_index", "integer", "index within the backend", required=True)
    yield column("driver", "text", "version of the device's driver")
    yield column("runtime", "text", "version of the device's runtime, such as CUDA or CANN")
    yield column("torch", "text", "version of torch, where the backend uses it")
    yield column("python", "text", "version of Python", required=True)
    yield column("threads", "integer", "threads of a CPU", positive=True)
    yield column("simulated", "boolean", "true: no real device, no measurement", required=True)

    group = "work"
    yield column("kernel", "text", "what was computed", required=True)
    yield column("implementation", "text", "how it was computed")
    yield column("model", "text", "published model whose shape the case has")
    yield column("dtype", "text", "number format of the operands", required=True)
    yield column("params", "json", "all parameters of the kernel, canonical JSON", required=True)
    for name in ("m", "n", "k", "batch"):
        yield column(name, "integer", f"matmul: {name}", positive=True)
    yield column("layout", "text", "matmul: n or t for each operand")
    yield column("hidden", "integer", "moe_layer: width of a token", positive=True)
    yield column("intermediate", "integer", "moe_layer: width of an expert", positive=True)
    yield column("experts", "integer", "moe_layer: routed experts over all devices", positive=True)
    yield column("top_k", "integer", "moe_layer: experts a token", positive=True)
    yield column("shared_experts", "integer", "moe_layer: experts that every token passes")
    yield column("tokens", "integer", "moe_layer: tokens on this device", positive=True)
    yield column(
        "expert_parallel", "integer", "moe_layer: devices that share the experts", positive=True
    )
    yield column("operation", "text", "memory: copy, read or triad")
    yield column("size_mib", "integer", "memory: MiB of each array", positive=True)
    yield column("pass", "text", "moe_layer: forward")
    yield column("routing", "text", "moe_layer: balanced, uniform or power_law")
    yield column("routing_sha256", "text", "SHA-256 of the experts chosen: equal for equal work")
    yield column("imbalance", "number", "busiest expert's tokens over the mean", positive=True)
    yield column(
        "flops", "integer", "floating-point operations, a multiply-add is two", required=True
    )
    yield column(
        "bytes",
        "integer",
        "least memory traffic: operands once, results once",
        required=True,
        positive=True,
    )
    yield column("arithmetic_intensity", "number", "flops / bytes", required=True)
    yield column("inputs", "text", "distribution of the inputs")

    group = "outcome"
    yield column("status", "text", "how the case ended", required=True, choices=STATUSES)
    yield column("error", "text", "what went wrong, one line")
    yield column("verified", "boolean", "whether the outputs agree with the reference")
    yield column("rel_error", "number", "‖out − ref‖ / ‖ref‖")
    yield column("tolerance", "number", "largest rel_error that rounding explains")
    yield column("compared", "text", "which part of the outputs was compared")

    group = "time"
    for name, meaning in (
        ("time_median_s", "median of the samples, seconds an execution"),
        ("time_mean_s", "mean of the samples"),
        ("time_stdev_s", "standard deviation of the samples"),
        ("ci_low_s", "lower end of the median's 95 % interval; empty below six samples"),
        ("ci_high_s", "upper end of the median's 95 % interval"),
    ):
        yield column(name, "number", meaning)
    yield column("samples", "integer", "samples taken", positive=True)
    yield column("loops", "integer", "executions a sample", positive=True)
    yield column("processes", "integer", "processes that measured in turn", positive=True)
    yield column("warmups", "integer", "samples dropped before the first")
    yield column("cache", "text", "cold: operands come from memory; hot: from where they were last")
    yield column("flush_bytes", "integer", "memory that a cold case cycles through besides its own")
    yield column(
        "timing", "text", "host: the host's clock; events: the device's; graph: of a graph"
    )
    yield column(
        "launch_overhead_s", "number", "least time of one launch on this device", positive=True
    )
    yield column("stop_reason", "text", "precision, time_budget or max_samples")
    yield column("drift", "number", "median of the second half over that of the first, minus one")

    group = "rates"
    yield column("achieved_tflops", "number", "flops / time_median_s, 1e12/s", positive=True)
    yield column("achieved_gbps", "number", "bytes / time_median_s, 1e9 B/s", positive=True)
    yield column("tokens_per_s", "number", "tokens / time_median_s", positive=True)

    group = "limits"
    yield column(
        "peak_tflops", "number", "dense peak of this dtype by the data sheet", positive=True
    )
    yield column("peak_gbps", "number", "memory bandwidth by the data sheet", positive=True)
    yield column("peak_source", "text", "where the peaks come from")
    yield column(
        "ceiling_tflops", "number", "highest matmul rate measured on this device", positive=True
    )
    yield column(
        "ceiling_gbps", "number", "highest bandwidth measured on this device", positive=True
    )
    yield column("utilization", "number", "achieved_tflops / peak_tflops", positive=True)
    yield column(
        "utilization_of_ceiling", "number", "achieved_tflops / ceiling_tflops", positive=True
    )
    yield column("roofline_bound", "text", "what bounds the case: compute, memory or launch")
    yield column(
        "roofline_fraction", "number", "least possible time over time_median_s", positive=True
    )

    group = "telemetry"
    yield column("power_w", "number", "median power while sampling", positive=True)
    yield column("energy_j", "number", "joules an execution", positive=True)
    yield column("clock_mhz", "number", "median clock while sampling", positive=True)
    yield column("temperature_c", "number", "temperature while sampling")
    yield column("throttle", "text", "reasons for a reduced clock")
    yield column("memory_peak_bytes", "integer", "most device memory in use", positive=True)
    yield column("warnings", "text", "what a reader should know before quoting the row")


COLUMNS: tuple[Column, ...] = tuple(_columns())
BY_NAME: dict[str, Column] = {column.name: column for column in COLUMNS}
NAMES: tuple[str, ...] = tuple(BY_NAME)

_JSON_TYPES = {
    "text": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "time": "string",
    "json": "string",
}


def results_schema() -> dict[str, Any]:
    """Return the JSON schema of one row, as `--format json` and the reader give it."""
    properties = {}
    for column in COLUMNS:
        kind = _JSON_TYPES[column.type]
        described: dict[str, Any] = {
            "type": kind if column.required else [kind, "null"],
            "description": column.meaning,
        }
        if column.positive:
            described["exclusiveMinimum"] = 0
        if column.choices:
            described["enum"] = list(column.choices)
        if column.type == "time":
            described["format"] = "date-time"
        properties[column.name] = described
    properties["schema_version"]["const"] = SCHEMA_VERSION
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bench result row",
        "type": "object",
        "properties": properties,
        "required": [column.name for column in COLUMNS if column.required],
        "additionalProperties": False,
    }


def columns_as_markdown() -> str:
    """Return the table of columns for the documentation, a section a group."""
    lines: list[str] = []
    for group in dict.fromkeys(column.group for column in COLUMNS):
        lines += ["", f"### {group}", "", "| column | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{column.name}` | {column.type}{'' if column.required else ', may be empty'} "
            f"| {column.meaning.replace('|', chr(92) + '|')} |"
            for column in COLUMNS
            if column.group == group
        ]
    return "\n".join(lines).strip() + "\n"


if __name__ == "__main__":
    print(columns_as_markdown(), end="")
