"""Rows from what others have published: a shape and a time, and what follows from them.

Nothing is added but operations, bytes, rates by their definitions, and the peaks of the table of chips.
"""

from __future__ import annotations

from bench.analysis.roofline import rates
from bench.backend import Limits
from bench.catalog.chips import load_chips
from bench.config.cases import canonical_json, case_id
from bench.kernels.base import Work
from bench.kernels.moe.base import MOST_DECODE_TOKENS
from bench.results.columns import SCHEMA_VERSION, Row

# Bytes of an operand's element and of a result's; scale factors are left out.
BYTES = {
    "float64": (8, 8),
    "float32": (4, 4),
    "tf32": (4, 4),
    "float16": (2, 2),
    "bfloat16": (2, 2),
    "int8": (1, 4),
    "float8_e4m3": (1, 2),
    "float4_e2m1": (0.5, 2),
}


def product(params: Row, dtype: str) -> Row:
    """Return what the shape of a matrix product decides, or of one for each of several experts."""
    m, n, k = (number(params[name]) for name in "mnk")
    operand, result = BYTES[dtype]
    kernel = "grouped_matmul" if "experts" in params else "matmul"
    params = params | {"dtype": dtype}
    defaults = {"inputs": "normal"}
    named = {name: value for name, value in params.items() if defaults.get(name) != value}
    matrices = number(params.get("experts", 1))
    return {
        **params,
        "kernel": kernel,
        "params": canonical_json(params),
        "case_id": case_id(kernel, dtype, named),
        "flops": int(2 * m * n * k),
        "bytes": int((m * k + matrices * k * n) * operand + m * n * result),
    }


def experts(shape: dict[str, int], dtype: str, params: Row) -> Row:
    """Return what shape, routing and share of a device's experts decide.

    `shape` has hidden, intermediate, experts, top_k, expert_parallel, and as `tokens` those of all devices
    that share the experts, as other benchmarks count them; a row has those of one device. The bytes of a
    power law are unknown, because it leaves out some experts.
    """
    devices = shape["expert_parallel"]
    tokens, rest = divmod(shape["tokens"], devices)
    if rest:
        raise ValueError(f"{shape['tokens']} tokens cannot be shared by {devices} devices")
    sizes: Row = {**shape, "tokens": tokens}
    params = sizes | {"dtype": dtype, "pass": "forward"} | params
    one_expert = 3 * shape["hidden"] * shape["intermediate"]
    assignments = tokens * shape["top_k"]
    row = {
        **params,
        "kernel": "moe_experts",
        "params": canonical_json(params),
        "case_id": case_id("moe_experts", dtype, params | {"inputs": "normal"}),
        "phase": "decode" if tokens <= MOST_DECODE_TOKENS else "prefill",
        "flops": 2 * assignments * one_expert,
        "expert_device": params.get("device"),
    }
    row.pop("power_law_alpha", None)
    row.pop("device", None)
    if params["routing"] != "power_law":
        weights = min(shape["experts"] // devices, assignments) * one_expert
        row["bytes"] = int(weights * BYTES[dtype][0]) + tokens * shape["hidden"] * 4
    return row


def complete(row: Row, device: str, chip: str) -> Row:
    """Return a row with peaks, rates, and the remarks that physics makes on them."""
    known = load_chips().get(chip)
    limits = known.limits(str(row["dtype"])) if known else Limits()
    tokens = row.get("tokens")
    work = Work(
        flops=int(number(row["flops"])),
        bytes=int(number(row.get("bytes") or 1)),
        tokens=None if tokens is None else int(number(tokens)),
    )
    computed = rates(number(row["time_median_s"]), work, limits, cached="bytes" not in row)
    measured = {
        "arithmetic_intensity": work.flops / work.bytes,
        "achieved_gbps": computed.achieved_gbps,
        "roofline_bound": computed.roofline_bound,
        "roofline_fraction": computed.roofline_fraction,
    }
    remarks = [*filter(None, [row.get("warnings")]), *computed.warnings]
    return {
        **row,
        "schema_version": SCHEMA_VERSION,
        "chip": chip,
        "device_name": device,
        "simulated": False,
        "status": "ok",
        "peak_tflops": limits.peak_tflops,
        "peak_gbps": limits.peak_gbps,
        "peak_source": limits.peak_source,
        "achieved_tflops": computed.achieved_tflops,
        "tokens_per_s": computed.tokens_per_s,
        "utilization": computed.utilization,
        **(measured if "bytes" in row else {}),
        "warnings": "; ".join(map(str, remarks)) or None,
    }


def number(value: object) -> float:
    """Return a cell as a number."""
    assert isinstance(value, (int, float))
    return float(value)
