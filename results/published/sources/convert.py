"""Turns the published facts in this folder into result files, one per chip, in the folder above.

    python results/published/sources/convert.py [FOLDER]

Nothing is added to the facts but what follows from them: operations, bytes, rates by their
definitions, and the peaks of the harness's own table of chips.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bench.analysis.roofline import rates
from bench.backend import Limits
from bench.catalog.chips import load_chips
from bench.config.cases import canonical_json, case_id
from bench.kernels.base import Work
from bench.kernels.moe.base import MOST_DECODE_TOKENS
from bench.results.cells import format_row
from bench.results.column_arrays import ColumnArrays
from bench.results.columns import NAMES, SCHEMA_VERSION, Row
from bench.results.soundness import faults
from bench.results.writer import record

SOURCES = Path(__file__).parent
PUBLISHED = SOURCES.parent

AICONFIGURATOR = "NVIDIA, aiconfigurator (github.com/ai-dynamo/aiconfigurator, commit 095f58a): {}"
AICONFIGURATOR_DATE = "2026-08-21"

# Times by device events, of the operators that vllm-ascend calls. The repository does not say which grade of
# the 910B it measured; its rates exceed what the Cube units of a 910B3 can do.
ASCEND_910B = {
    "evidence": "measured",
    "source": "hudingyi688, aiconfigurator-npu (github.com/hudingyi688/aiconfigurator-npu, commit 90d7765)",
    "source_date": "2026-04-14",
}
ASCEND_910B_DEVICE = "Ascend 910B (grade not stated)"
VLLM_ASCEND = "vllm-ascend 0.18.0 {}"

# Below this number of tokens the routing decides which experts have work; it was drawn without a seed.
LEAST_RANDOM_TOKENS = 1024

# GLM-5's rows have the shape of DeepSeek-V3, which is measured under its own name, too.
MISNAMED = ("glm-5",)
# No model of this shape in bench/catalog/models.yaml: Qwen3-30B-A3B has another width.
UNKNOWN_MODELS = ("qwen2-moe-57b", "qwen3-moe-30b")

RANDOM_EXPERTS_NOTE = (
    "experts by the top-k of normal values without a seed: FLOPs are those of the mean load; the gate and "
    "the dispatch are not timed; the combination is, of {all_tokens} tokens on all devices"
)
QUANTIZED_NOTE = "time includes quantizing the rows; weights are scaled per channel"

# The number formats of aiconfigurator: dtype, and how operands are scaled where that has to be said.
# Block-scaled float8 has a factor per 128×128 block, NVFP4 one per 16 values.
FORMATS = {
    "bf16": ("bfloat16", ""),
    "fp8": ("float8_e4m3", ""),
    "fp8_block": ("float8_e4m3", ", block scales"),
    "nvfp4": ("float4_e2m1", ", block scales"),
    "w8a8_dynamic": ("int8", ", quantized per row"),
}

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

# Collectors that fill their operands with random normal values; vLLM's leaves them as they are.
RANDOM = ("trtllm", "sglang")


def main() -> None:
    """Write the files, or say which fact makes an unsound row."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else PUBLISHED
    for name, rows in sorted(files().items()):
        for fault in faults(ColumnArrays.of_rows([dict.fromkeys(NAMES) | row for row in rows])):
            row = rows[fault.row]
            sys.exit(f"{name}: {row['source']}: {row['params']}: {fault.column}: {fault.message}")
        content = record(NAMES) + b"".join(record(format_row(row)) for row in rows)
        (folder / f"{name}.csv").write_bytes(content)


def files() -> dict[str, list[Row]]:
    """Return the rows of each file, in the order of their cases."""
    chips = {line["device"]: line for line in table("chips")}
    rows_of: dict[str, list[Row]] = defaultdict(list)
    for device, row in (*products(), *gemms(), *moe_layers(), *ascend_products(), *ascend_layers()):
        rows_of[chips[device]["file"]].append(complete(row, device, chips[device]["chip"]))
    for rows in rows_of.values():
        rows.sort(
            key=lambda row: (str(row["kernel"]), str(row["dtype"]), sizes(row), str(row["source"]))
        )
    return rows_of


def table(name: str) -> list[dict[str, str]]:
    """Return the lines of a table of facts."""
    with (SOURCES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def products() -> Iterator[tuple[str, Row]]:
    """Yield matrix products whose rate was published; time follows from it."""
    for fact in table("products"):
        params: Row = {name: int(fact[name]) for name in ("m", "n", "k")}
        params |= {"inputs": fact["inputs"]} if fact["inputs"] else {}
        if groups := int(fact["groups"] or 0):
            params |= {"m": groups * int(fact["m"]), "experts": groups}
        row = product(params, fact["dtype"])
        said = {
            "time_median_s": number(row["flops"]) / float(fact["tflops"]) / 1e12,
            "implementation": fact["implementation"],
            "torch": fact["torch"] or None,
            "runtime": fact["runtime"] or None,
            "evidence": fact["evidence"],
            "source": fact["source"],
            "source_date": fact["source_date"] or None,
            "warnings": fact["note"] or None,
        }
        yield fact["device"], row | said


def gemms() -> Iterator[tuple[str, Row]]:
    """Yield aiconfigurator's matrix products."""
    for fact in table("aiconfigurator-gemm"):
        params: Row = {name: int(fact[name]) for name in ("m", "n", "k")}
        dtype, _ = FORMATS[fact["format"]]
        yield fact["device"], product(params | random_inputs(fact), dtype) | aiconfigurator(fact)


def moe_layers() -> Iterator[tuple[str, Row]]:
    """Yield aiconfigurator's mixture-of-experts layers: top-k, permutation, experts and combination."""
    for fact in (*table("aiconfigurator-moe"), *table("aiconfigurator-moe-shared")):
        routing, _, exponent = fact["routing"].rpartition("_")
        params: Row = {"routing": routing or fact["routing"]}
        params |= {"power_law_alpha": float(exponent)} if routing else {}
        yield fact["device"], experts(fact, params | random_inputs(fact)) | aiconfigurator(fact)


def ascend_products() -> Iterator[tuple[str, Row]]:
    """Yield the matrix products of linear layers in vllm-ascend."""
    for fact in table("ascend-910b-gemm"):
        dtype, scaled = FORMATS[fact["format"]]
        row = product({name: int(fact[name]) for name in ("m", "n", "k")}, dtype)
        said = {
            "time_median_s": float(fact["latency_us"]) / 1e6,
            "implementation": VLLM_ASCEND.format(fact["operator"]) + scaled,
            "warnings": QUANTIZED_NOTE if scaled else None,
        }
        yield ASCEND_910B_DEVICE, row | said | ASCEND_910B


def ascend_layers() -> Iterator[tuple[str, Row]]:
    """Yield the experts of vllm-ascend's layers that have enough tokens for their load to be known."""
    for fact in table("ascend-910b-moe"):
        if int(fact["tokens"]) < LEAST_RANDOM_TOKENS or fact["model"] in MISNAMED:
            continue
        _, scaled = FORMATS[fact["format"]]
        params: Row = {"routing": "uniform"}
        params |= {"device": "mean"} if int(fact["expert_parallel"]) > 1 else {}
        note = RANDOM_EXPERTS_NOTE.format(all_tokens=fact["tokens"])
        said = {
            "time_median_s": float(fact["latency_us"]) / 1e6,
            "implementation": VLLM_ASCEND.format("GroupedMatmul") + scaled,
            "warnings": "; ".join([note, *([QUANTIZED_NOTE] if scaled else [])]),
        }
        row = experts(fact, params) | said | ASCEND_910B | {"evidence": "derived"}
        yield ASCEND_910B_DEVICE, row | ({"model": None} if fact["model"] in UNKNOWN_MODELS else {})


def experts(fact: dict[str, str], params: Row) -> Row:
    """Return what shape, routing and share of a device's experts decide.

    Sources count the tokens of all devices that share the experts; our `tokens` are those of one.
    """
    dtype, _ = FORMATS[fact["format"]]
    names = ("hidden", "intermediate", "experts", "top_k")
    hidden, intermediate, total, top_k = (int(fact[name]) for name in names)
    devices = int(fact.get("expert_parallel", 1))
    tokens, rest = divmod(int(fact["tokens"]), devices)
    assert rest == 0, fact
    shape: Row = {name: int(fact[name]) for name in names} | {"tokens": tokens}
    params = shape | {"expert_parallel": devices, "dtype": dtype, "pass": "forward"} | params
    one_expert = 3 * hidden * intermediate
    row = {
        **params,
        "kernel": "moe_experts",
        "model": fact["model"],
        "params": canonical_json(params),
        "case_id": case_id("moe_experts", dtype, params | {"inputs": "normal"}),
        "phase": "decode" if tokens <= MOST_DECODE_TOKENS else "prefill",
        "flops": 2 * tokens * top_k * one_expert,
        "expert_device": params.get("device"),
    }
    row.pop("power_law_alpha", None)
    row.pop("device", None)
    if params["routing"] != "power_law":  # which experts that leaves out is not published
        weights = min(total // devices, tokens * top_k) * one_expert
        row["bytes"] = int(weights * BYTES[dtype][0]) + tokens * hidden * 4
    return row


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


def random_inputs(fact: dict[str, str]) -> Row:
    """Return the values of the operands where the collector fills them."""
    return {"inputs": "normal"} if fact["framework"].startswith(RANDOM) else {}


def aiconfigurator(fact: dict[str, str]) -> Row:
    """Return the columns that all of aiconfigurator's facts share; launches are recorded graphs."""
    _, scaled = FORMATS[fact["format"]]
    return {
        "time_median_s": float(fact["latency_us"]) / 1e6,
        "timing": "graph",
        "implementation": fact["framework"] + scaled,
        "evidence": "measured",
        "source": AICONFIGURATOR.format(fact["path"]),
        "source_date": AICONFIGURATOR_DATE,
    }


def complete(row: Row, device: str, chip: str) -> Row:
    """Return a row with peaks, rates, and the remarks that physics makes on them."""
    known = load_chips().get(chip)
    limits = known.limits(str(row["dtype"])) if known else Limits()
    work = Work(
        int(number(row["flops"])), int(number(row.get("bytes") or 1)), tokens=row.get("tokens")
    )  # type: ignore[arg-type]
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


def sizes(row: Row) -> tuple[float, ...]:
    """Return what orders the cases of a kernel."""
    names = ("hidden", "intermediate", "experts", "tokens", "m", "n", "k")
    return tuple(number(row.get(name) or 0) for name in names)


if __name__ == "__main__":
    main()
