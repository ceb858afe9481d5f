"""What was computed: kernel, shape, routing, and how much work that is."""

from __future__ import annotations

from bench.results.columns.column import SHA256, Column, group, late_size, option, size

# In the order in which a layer goes through them.
STAGES = ("gate", "dispatch", "experts", "activation", "combine", "shared")

WORK = group(
    "work",
    Column("kernel", "text", "what was computed", "always"),
    Column("implementation", "text", "how it was computed; `best` if none was chosen", "always"),
    Column("model", "text", "published model whose shape the case has"),
    Column("dtype", "text", "number format of the operands", "always", parameter=True),
    Column("params", "json", "all parameters of the kernel, as canonical JSON", "always"),
    size("m", "matmul, grouped_matmul: rows of the result"),
    size("n", "matmul, grouped_matmul: columns of the result"),
    size("k", "matmul, grouped_matmul: length of the sums"),
    size("batch", "matmul: independent products"),
    option("layout", "matmul: each operand as written (n) or transposed (t)"),
    size("hidden", "moe_layer: width of a token"),
    size("intermediate", "moe_layer: width of one routed expert"),
    size("experts", "routed experts, over all devices"),
    size("top_k", "moe_layer: routed experts a token"),
    size("shared_experts", "moe_layer: experts that serve every token", minimum=0),
    size(
        "tokens", "moe_layer: tokens on this device; all devices have expert_parallel times as many"
    ),
    size("expert_parallel", "moe_layer: devices that share the routed experts"),
    Column(
        "expert_device",
        "text",
        "which of them was measured, by its load; empty where loads are equal",
        choices=("mean", "median", "hottest"),
        late=True,
    ),
    Column(
        "device_load",
        "number",
        "assignments to the experts on this device over the mean of all devices",
        minimum=0,
        late=True,
    ),
    option("operation", "memory: copy, read or triad; collective: all_reduce and others"),
    size("size_mib", "memory: size of each array", unit="MiB"),
    late_size(
        "size_bytes", "collective: size of the total array, as nccl-tests counts it", unit="B"
    ),
    late_size("world_size", "collective: ranks that compute the case together"),
    late_size("sender", "collective send_recv: rank that sends", minimum=0),
    late_size("receiver", "collective send_recv: rank that receives", minimum=0),
    Column(
        "in_place",
        "boolean",
        "collective: whether the result replaces the input",
        parameter=True,
        late=True,
    ),
    option("pass", "moe_layer: forward or forward_backward"),
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
    option("routing", "balanced, uniform, power_law or trace"),
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
    Column("flops", "integer", "operations, a multiply-add is two", "if ok", minimum=0, wide=True),
    Column(
        "bytes",
        "integer",
        "least memory traffic: each operand read once, each result written once",
        "if ok",
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
    Column("arithmetic_intensity", "number", "flops / bytes", "if ok", "FLOP/B", minimum=0),
    option(
        "inputs",
        "values of the inputs: normal, zeros or constant; of collectives rank_and_index",
        filled="always",
    ),
)
