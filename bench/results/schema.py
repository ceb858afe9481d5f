"""The columns of a result file, declared once: name, type, unit, bounds, and when a cell is filled.

`python -m bench.results.schema` prints the tables of docs/results.md; with the name of that file it
puts them into it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

# Raised when a column goes or changes its meaning. One that comes is `late`: older files lack it.
SCHEMA_VERSION = 1

STATUSES = (
    "ok",
    "unsupported",
    "out_of_memory",
    "timeout",
    "crashed",
    "wrong_result",
    "wrong_timing",
    "error",
    "interrupted",
    "device_lost",
)

# They hold no measurement and nothing that would be the same another time: --resume runs them again.
RUN_AGAIN = ("interrupted", "device_lost")

# In the order in which a layer goes through them.
STAGES = ("gate", "dispatch", "experts", "activation", "combine", "shared")

Row = dict[str, object]  # a value a column, None where unknown

Type = Literal["text", "json", "time", "integer", "number", "boolean"]
Filled = Literal["always", "if ok", "if not ok", "where known"]

# How a published row came about: read off a device, computed from such a reading, or only said.
EVIDENCE = ("measured", "derived", "claimed")

SHA256 = "[0-9a-f]{64}"
DATE = r"\d{4}(-\d\d(-\d\d)?)?"  # ISO 8601, to the day, the month or the year
POSITIVE = r"\d+(\.\d+)?(e[-+]?\d+)?"
UTC = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z"  # ISO 8601


@dataclass(frozen=True)
class Column:
    """One column.

    `filled` says in which rows the cell is never empty; a `measured` cell is empty unless the
    status is ok. Numbers are finite (but for `infinite` ones), and at least `minimum` or more than
    `above`; integers have 64 bits, unless `wide`. A `parameter` repeats one of the kernel's. A file
    may lack a `late` column, whose cells are empty then.
    """

    name: str
    type: Type
    meaning: str
    filled: Filled = "where known"
    unit: str = ""
    minimum: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    measured: bool = False
    parameter: bool = False
    infinite: bool = False
    wide: bool = False
    late: bool = False
    group: str = ""


def _group(group: str, *columns: Column) -> tuple[Column, ...]:
    return tuple(replace(column, group=group) for column in columns)


def _size(name: str, meaning: str, unit: str = "", minimum: int = 1) -> Column:
    return Column(name, "integer", meaning, unit=unit, minimum=minimum, parameter=True)


def _option(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "text", meaning, parameter=True, **more)


def _time(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "number", meaning, unit="s", measured=True, **more)


def _count(name: str, meaning: str, minimum: int = 1) -> Column:
    return Column(name, "integer", meaning, "if ok", minimum=minimum, measured=True)


def _rate(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "number", meaning, above=0, **more)


COLUMNS: tuple[Column, ...] = (
    *_group(
        "identity",
        Column(
            "schema_version",
            "integer",
            f"version of these columns: {SCHEMA_VERSION}",
            "always",
            minimum=1,
        ),
        Column("run_id", "text", "one call of `bench run`; a resumed file has several", "always"),
        Column(
            "case_id",
            "text",
            "kernel, dtype and a hash of all parameters: the same on every chip",
            "always",
        ),
        Column("started_at", "time", "when the case began, UTC", "always", pattern=UTC),
        Column("host", "text", "name of the machine", "always"),
        Column("config", "text", "name of the config", "always"),
        Column(
            "config_sha256", "text", "SHA-256 of what the config says", "always", pattern=SHA256
        ),
        Column("git_commit", "text", "commit of the harness; `-dirty` with local changes"),
        Column("harness_version", "text", "version of the harness", "always"),
        Column("seed", "integer", "seed of inputs and routing", "always", minimum=0),
    ),
    *_group(
        "device",
        Column("backend", "text", "backend that ran the case", "always"),
        Column("chip", "text", "chip, as `bench list chips` names it if it can", "always"),
        Column("device_name", "text", "name that the driver reports", "always"),
        Column("device_index", "integer", "index within the backend", "always", minimum=0),
        Column("driver", "text", "version of the device's driver"),
        Column("runtime", "text", "version of the device's runtime, such as CUDA or CANN"),
        Column("torch", "text", "version of torch"),
        Column("python", "text", "version of Python", "always"),
        Column("threads", "integer", "threads that a CPU was given", minimum=1),
        Column(
            "devices_together",
            "integer",
            "devices that measured the case at the same time, this one included",
            minimum=1,
        ),
        Column("simulated", "boolean", "true: no real device, and so no measurement", "always"),
    ),
    *_group(
        "work",
        Column("kernel", "text", "what was computed", "always"),
        Column(
            "implementation", "text", "how it was computed; `best` if none was chosen", "always"
        ),
        Column("model", "text", "published model whose shape the case has"),
        Column("dtype", "text", "number format of the operands", "always", parameter=True),
        Column("params", "json", "all parameters of the kernel, as canonical JSON", "always"),
        _size("m", "matmul, grouped_matmul: rows of the result"),
        _size("n", "matmul, grouped_matmul: columns of the result"),
        _size("k", "matmul, grouped_matmul: length of the sums"),
        _size("batch", "matmul: independent products"),
        _option("layout", "matmul: each operand as written (n) or transposed (t)"),
        _size("hidden", "moe_layer: width of a token"),
        _size("intermediate", "moe_layer: width of one routed expert"),
        _size("experts", "routed experts, over all devices"),
        _size("top_k", "moe_layer: routed experts a token"),
        _size("shared_experts", "moe_layer: experts that serve every token", minimum=0),
        _size("tokens", "moe_layer: tokens on this device"),
        _size("expert_parallel", "moe_layer: devices that share the routed experts"),
        _option("operation", "memory: copy, read or triad"),
        _size("size_mib", "memory: size of each array", unit="MiB"),
        _option("pass", "moe_layer: forward or forward_backward"),
        Column(
            "phase",
            "text",
            "by the tokens: decode up to 512, prefill above",
            choices=("decode", "prefill"),
        ),
        Column(
            "stage",
            "text",
            "the part of the layer that the row is about; empty for the whole",
            choices=STAGES,
        ),
        _option("routing", "balanced, uniform, power_law or trace"),
        Column(
            "routing_sha256",
            "text",
            "SHA-256 of each token's experts: equal for equal work",
            pattern=SHA256,
        ),
        Column("imbalance", "number", "busiest expert's assignments over the mean", minimum=1),
        Column(
            "imbalance_cv",
            "number",
            "standard deviation of the experts' assignments over the mean",
            minimum=0,
        ),
        Column("experts_unused", "integer", "experts on this device never chosen", minimum=0),
        Column(
            "assignments_dropped",
            "integer",
            "assignments beyond an expert's capacity, not computed",
            minimum=0,
        ),
        Column(
            "flops", "integer", "operations, a multiply-add is two", "always", minimum=0, wide=True
        ),
        Column(
            "bytes",
            "integer",
            "least memory traffic: each operand read once, each result written once",
            "always",
            "B",
            minimum=1,
            wide=True,
        ),
        Column(
            "weight_bytes",
            "integer",
            "of these, the weights of the gate and of experts that are reached",
            unit="B",
            minimum=0,
            wide=True,
        ),
        Column("arithmetic_intensity", "number", "flops / bytes", "always", "FLOP/B", minimum=0),
        _option("inputs", "values of the inputs: normal, zeros or constant", filled="always"),
    ),
    *_group(
        "outcome",
        Column("status", "text", "how the case ended", "always", choices=STATUSES),
        Column("error", "text", "what went wrong, in one line", "if not ok"),
        Column("verified", "boolean", "whether the outputs agree with the reference", "if ok"),
        Column(
            "rel_error",
            "number",
            "‖out − ref‖ / ‖ref‖; `inf` for outputs that are not finite",
            "if ok",
            minimum=0,
            infinite=True,
        ),
        Column(
            "tolerance", "number", "largest `rel_error` that rounding explains", "if ok", minimum=0
        ),
        Column("compared", "text", "which part of the outputs was compared", "if ok"),
    ),
    *_group(
        "time",
        _time(
            "time_median_s",
            "median of the rounds' medians, for one execution",
            filled="if ok",
            above=0,
        ),
        _time("time_mean_s", "mean of the samples", filled="if ok", above=0),
        _time("time_stdev_s", "standard deviation of the samples", minimum=0),
        _time(
            "ci_low_s", "lower end of the 95 % interval, from the scatter of the rounds", minimum=0
        ),
        _time(
            "ci_high_s", "upper end of the 95 % interval, from the scatter of the rounds", above=0
        ),
        Column(
            "rounds",
            "integer",
            "visits to the case, spread over the run, each with an allocation of its own",
            minimum=1,
            measured=True,
            late=True,
        ),
        Column(
            "round_medians_s",
            "text",
            "median of the samples of each round, in the order of time, separated by spaces",
            unit="s",
            pattern=f"{POSITIVE}( {POSITIVE})*",
            measured=True,
            late=True,
        ),
        Column(
            "reference_s",
            "number",
            "time of the backend's reference product beside the samples, median of the rounds: "
            "how fast the machine was then",
            unit="s",
            above=0,
            measured=True,
            late=True,
        ),
        _count("samples", "samples taken, over all rounds"),
        _count("loops", "executions in one sample"),
        _count("processes", "processes that the rounds were taken in"),
        _count("warmups", "samples dropped before the first", minimum=0),
        _option(
            "cache",
            "cold: operands come from memory; hot: from wherever the last execution left them",
            filled="always",
            choices=("cold", "hot"),
        ),
        Column(
            "flush_bytes",
            "integer",
            "memory that a cold case cycles through or flushes; 0 when hot",
            "if ok",
            "B",
            minimum=0,
        ),
        Column(
            "timing",
            "text",
            "clock: host, events (the device's own), or graph (a recorded one, by events)",
            "if ok",
        ),
        Column(
            "launch_overhead_s",
            "number",
            "time of an empty launch on this device",
            unit="s",
            above=0,
        ),
        Column(
            "compile_s",
            "number",
            "time to compile and tune before the first execution; part of no sample",
            unit="s",
            minimum=0,
        ),
        Column(
            "stop_reason",
            "text",
            "why there was no further round: precision, time_budget, max_rounds, max_samples, "
            "device_lost or stages",
            "if ok",
            measured=True,
        ),
        Column(
            "drift",
            "number",
            "median of the second half of the rounds over that of the first, minus one",
            minimum=-1,
            measured=True,
        ),
    ),
    *_group(
        "rates",
        _rate(
            "achieved_tflops",
            "flops / time_median_s; empty for work without FLOPs",
            unit="TFLOP/s",
            measured=True,
        ),
        _rate("achieved_gbps", "bytes / time_median_s", filled="if ok", unit="GB/s", measured=True),
        _rate(
            "weights_gbps",
            "weight_bytes / time_median_s",
            unit="GB/s",
            measured=True,
        ),
        _rate("tokens_per_s", "moe_layer: tokens / time_median_s", unit="1/s", measured=True),
    ),
    *_group(
        "limits",
        _rate(
            "peak_tflops",
            "dense rate of this dtype by the data sheet; for processors, measured",
            unit="TFLOP/s",
        ),
        _rate("peak_gbps", "memory bandwidth by the data sheet", unit="GB/s"),
        Column("peak_source", "text", "where the peaks come from"),
        _rate("ceiling_tflops", "highest rate measured on this device", unit="TFLOP/s"),
        _rate("ceiling_gbps", "highest bandwidth measured on this device", unit="GB/s"),
        Column("ceiling_source", "text", "where the ceilings come from"),
        _rate("utilization", "achieved_tflops / peak_tflops", measured=True),
        _rate("utilization_of_ceiling", "achieved_tflops / ceiling_tflops", measured=True),
        Column(
            "roofline_bound",
            "text",
            "what bounds the case: compute, memory or launch",
            choices=("compute", "memory", "launch"),
            measured=True,
        ),
        _rate("roofline_fraction", "least time by that bound / time_median_s", measured=True),
    ),
    *_group(
        "telemetry",
        Column("power_w", "number", "median power while sampling", unit="W", minimum=0),
        Column("energy_j", "number", "energy of one execution", unit="J", minimum=0),
        Column("clock_mhz", "number", "median clock while sampling", unit="MHz", minimum=0),
        Column(
            "memory_clock_mhz",
            "number",
            "median clock of the memory while sampling",
            unit="MHz",
            minimum=0,
        ),
        Column("temperature_c", "number", "temperature while sampling", unit="°C", minimum=-273.15),
        Column("busy", "number", "share of the time that any kernel ran, by the driver", minimum=0),
        Column(
            "memory_busy",
            "number",
            "share of the time that memory was read or written, by the driver",
            minimum=0,
        ),
        Column("throttle", "text", "reasons for a lowered clock"),
        Column("memory_peak_bytes", "integer", "most device memory in use", unit="B", minimum=0),
        Column(
            "ecc_errors",
            "integer",
            "memory errors while sampling that were not corrected",
            minimum=0,
        ),
        Column(
            "other_processes",
            "integer",
            "processes of others that were using the device",
            minimum=0,
        ),
        Column("device_state", "text", "settings of the device, such as ECC, persistence and MIG"),
    ),
    *_group(
        "remarks",
        Column("warnings", "text", "what to know before quoting the row; separated by `; `"),
    ),
    *_group(
        "publication",
        Column(
            "source", "text", "who published the row; empty if `bench run` measured it", late=True
        ),
        Column("source_date", "text", "when, to the day, month or year", late=True, pattern=DATE),
        Column(
            "evidence",
            "text",
            "measured; derived from what was measured; or claimed without it",
            late=True,
            choices=EVIDENCE,
        ),
    ),
)

BY_NAME: dict[str, Column] = {column.name: column for column in COLUMNS}
NAMES: tuple[str, ...] = tuple(BY_NAME)

# What tells the rows of one file apart.
KEY = ("run_id", "case_id", "implementation", "device_index", "stage", "source")

# What every published row has to say as well as one of our own.
PUBLIC = (
    "schema_version",
    "case_id",
    "chip",
    "device_name",
    "simulated",
    "kernel",
    "implementation",
    "dtype",
    "params",
    "flops",
    "status",
    "error",
    "time_median_s",
)

# What a source may leave open: never empty in rows of our own, and free in published ones.
OWN: frozenset[str] = frozenset(
    column.name
    for column in COLUMNS
    if column.filled != "where known" and column.name not in PUBLIC
)

_JSON_TYPES = {"integer": "integer", "number": "number", "boolean": "boolean"}


def is_published(row: Row) -> bool:
    """Tell whether a row was published by others rather than measured by `bench run`."""
    return row.get("source") is not None


def results_schema() -> dict[str, Any]:
    """Return the JSON schema of one row: null or absent is unknown."""
    failed = {column.name: {"type": "null"} for column in COLUMNS if column.measured}
    needed = {
        filled: [column.name for column in COLUMNS if column.filled == filled]
        for filled in ("always", "if ok", "if not ok")
    }
    either = {
        filled: [name for name in names if name not in OWN] for filled, names in needed.items()
    }
    verified = {"verified": {"const": True}}
    not_ok = _filled(needed["if not ok"], failed)
    ours = {
        **_filled(needed["always"], {"evidence": {"type": "null"}}),
        **_by_status(_filled(needed["if ok"], verified), not_ok),
    }
    published = {**_filled(["evidence"]), **_by_status(_filled(either["if ok"]), not_ok)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A row of a bench result file, schema version {SCHEMA_VERSION}",
        "type": "object",
        "properties": {column.name: _property(column) for column in COLUMNS},
        "required": either["always"],
        "additionalProperties": False,
        "if": {"properties": {"source": {"type": "string"}}, "required": ["source"]},
        "then": published,
        "else": ours,
    }


def _by_status(ok: dict[str, Any], not_ok: dict[str, Any]) -> dict[str, Any]:
    """Return what holds for a row by its status."""
    is_ok = {"properties": {"status": {"const": "ok"}}, "required": ["status"]}
    return {"if": is_ok, "then": ok, "else": not_ok}


def _filled(names: list[str], properties: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of rows in which these columns are there and not null."""
    there = {name: {"not": {"type": "null"}} for name in names}
    return {"properties": {**there, **(properties or {})}, "required": names}


def _property(column: Column) -> dict[str, Any]:
    kind = _JSON_TYPES.get(column.type, "string")
    always = column.filled == "always" and column.name not in OWN
    schema: dict[str, Any] = {
        "description": column.meaning + (f" [{column.unit}]" if column.unit else ""),
        "type": kind if always else [kind, "null"],
    }
    if column.minimum is not None:
        schema["minimum"] = column.minimum
    if column.above is not None:
        schema["exclusiveMinimum"] = column.above
    if column.type == "integer" and not column.wide:
        schema["maximum"] = 2**63 - 1
    if column.choices:
        schema["enum"] = [*column.choices] if always else [*column.choices, None]
    if column.pattern:
        schema["pattern"] = f"^{column.pattern}$"
    if column.type == "time":
        schema["format"] = "date-time"
    if column.name == "schema_version":
        schema["const"] = SCHEMA_VERSION
    return schema


def columns_as_markdown() -> str:
    """Return the columns as Markdown, a table a group."""
    lines: list[str] = []
    for group in dict.fromkeys(column.group for column in COLUMNS):
        lines += [f"### {group}", "", "| column | type | unit | filled | meaning |"]
        lines.append("|---|---|---|---|---|")
        for column in COLUMNS:
            if column.group == group:
                only = column.measured and column.filled == "where known"
                filled: str = "where known, if ok" if only else column.filled
                filled += " (own)" if column.name in OWN else ""
                meaning = column.meaning
                if column.name == "status":
                    meaning += f": {', '.join(column.choices)}"
                cells = (f"`{column.name}`", column.type, column.unit, filled, meaning)
                lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
        lines.append("")
    return "\n".join(lines)


def put_tables(text: str) -> str:
    """Return a page whose part between the two marks is replaced by the tables."""
    begin, end = "<!-- columns: generated from bench/results/schema.py -->\n", "<!-- end -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{columns_as_markdown()}\n{end}{after}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        page = Path(sys.argv[1])
        page.write_text(put_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(columns_as_markdown())
