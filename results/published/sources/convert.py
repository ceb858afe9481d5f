"""Turns the published facts in this folder into result files, one a chip, in the folder above.

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

# The number formats of aiconfigurator: dtype, and how operands are scaled where that has to be said.
# Block-scaled float8 has a factor a 128×128 block, NVFP4 one a 16 values.
FORMATS = {
    "bf16": ("bfloat16", ""),
    "fp8": ("float8_e4m3", ""),
    "fp8_block": ("float8_e4m3", ", block scales"),
    "nvfp4": ("float4_e2m1", ", block scales"),
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
    found: dict[str, list[Row]] = defaultdict(list)
    for device, row in (*products(), *gemms(), *moe_layers()):
        found[chips[device]["file"]].append(complete(row, device, chips[device]["chip"]))
    for rows in found.values():
        rows.sort(
            key=lambda row: (str(row["kernel"]), str(row["dtype"]), sizes(row), str(row["source"]))
        )
    return found


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
    for fact in table("aiconfigurator-moe"):
        dtype, _ = FORMATS[fact["format"]]
        routing, _, exponent = fact["routing"].rpartition("_")
        params: Row = {
            name: int(fact[name])
            for name in ("hidden", "intermediate", "experts", "top_k", "tokens")
        }
        params |= {"routing": routing or fact["routing"], "expert_parallel": 1, "dtype": dtype}
        params |= {"pass": "forward"}
        params |= {"power_law_alpha": float(exponent)} if routing else {}
        params |= random_inputs(fact)
        tokens, hidden, experts, top_k = (
            int(fact[name]) for name in ("tokens", "hidden", "experts", "top_k")
        )
        one_expert = 3 * hidden * int(fact["intermediate"])
        row = {
            **params,
            "kernel": "moe_experts",
            "model": fact["model"],
            "params": canonical_json(params),
            "case_id": case_id("moe_experts", dtype, params | {"inputs": "normal"}),
            "phase": "decode" if tokens <= MOST_DECODE_TOKENS else "prefill",
            "flops": 2 * tokens * top_k * one_expert,
        }
        row.pop("power_law_alpha", None)
        if not routing:  # which experts a skewed routing leaves out is not published
            weights = min(experts, tokens * top_k) * one_expert
            row["bytes"] = int(weights * BYTES[dtype][0]) + tokens * hidden * 4
        yield fact["device"], row | aiconfigurator(fact)


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
    found = rates(number(row["time_median_s"]), work, limits, cached="bytes" not in row)
    measured = {
        "arithmetic_intensity": work.flops / work.bytes,
        "achieved_gbps": found.achieved_gbps,
        "roofline_bound": found.roofline_bound,
        "roofline_fraction": found.roofline_fraction,
    }
    remarks = [*filter(None, [row.get("warnings")]), *found.warnings]
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
        "achieved_tflops": found.achieved_tflops,
        "tokens_per_s": found.tokens_per_s,
        "utilization": found.utilization,
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
