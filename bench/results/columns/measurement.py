"""How a case ended, how long it took, and how fast that is beside the limits of the device."""

from __future__ import annotations

from bench.results.columns.column import POSITIVE, Column, count, group, option, rate, time

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

# Rows without a measurement and without a reason that would be the same another time: --resume runs
# their cases again.
RUN_AGAIN = ("interrupted", "device_lost")

OUTCOME = group(
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
    Column("tolerance", "number", "largest `rel_error` that rounding explains", "if ok", minimum=0),
    Column("compared", "text", "which part of the outputs was compared", "if ok"),
)

TIME = group(
    "time",
    time(
        "time_median_s",
        "median of the rounds' medians, for one execution",
        filled="if ok",
        above=0,
    ),
    time("time_mean_s", "mean of the samples", filled="if ok", above=0),
    time("time_stdev_s", "standard deviation of the samples", minimum=0),
    time("ci_low_s", "lower end of the 95 % interval, from the scatter of the rounds", minimum=0),
    time("ci_high_s", "upper end of the 95 % interval, from the scatter of the rounds", above=0),
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
    count("samples", "samples taken, over all rounds"),
    count("loops", "executions in one sample"),
    count("processes", "processes that the rounds were taken in"),
    count("warmups", "samples dropped before the first", minimum=0),
    option(
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
        "host_bound",
        "boolean",
        "whether the device waited for the host's launches, so that the time is the host's",
        measured=True,
        late=True,
    ),
    Column(
        "launch_overhead_s",
        "number",
        "time of an empty execution, launched or recorded as this one was",
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
)

RATES = group(
    "rates",
    rate(
        "achieved_tflops",
        "flops / time_median_s; empty for work without FLOPs",
        unit="TFLOP/s",
        measured=True,
    ),
    rate("achieved_gbps", "bytes / time_median_s", filled="if ok", unit="GB/s", measured=True),
    rate(
        "weights_gbps",
        "weight_bytes / time_median_s",
        unit="GB/s",
        measured=True,
    ),
    rate("tokens_per_s", "moe_layer: tokens / time_median_s", unit="1/s", measured=True),
)

LIMITS = group(
    "limits",
    rate(
        "peak_tflops",
        "dense rate of this dtype by the data sheet; for processors, measured",
        unit="TFLOP/s",
    ),
    rate("peak_gbps", "memory bandwidth by the data sheet", unit="GB/s"),
    Column("peak_source", "text", "where the peaks come from"),
    rate("ceiling_tflops", "highest rate measured on this device", unit="TFLOP/s"),
    rate("ceiling_gbps", "highest bandwidth measured on this device", unit="GB/s"),
    Column("ceiling_source", "text", "where the ceilings come from"),
    rate("utilization", "achieved_tflops / peak_tflops", measured=True),
    rate("utilization_of_ceiling", "achieved_tflops / ceiling_tflops", measured=True),
    Column(
        "roofline_bound",
        "text",
        "what bounds the case: compute, memory or launch",
        choices=("compute", "memory", "launch"),
        measured=True,
    ),
    rate("roofline_fraction", "least time by that bound / time_median_s", measured=True),
)
