"""Turns the published facts in this folder into result files, one per chip, in the folder above.

    python results/published/sources/convert.py [FOLDER]

Nothing is added to the facts but what follows from them (bench/importers/published_row.py).
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bench.importers.published_row import complete, experts, number, product
from bench.results.cells import format_row
from bench.results.column_arrays import ColumnArrays
from bench.results.columns import NAMES, Row
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
        row = layer(fact, params | random_inputs(fact)) | {"model": fact["model"]}
        yield fact["device"], row | aiconfigurator(fact)


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
        model = None if fact["model"] in UNKNOWN_MODELS else fact["model"]
        row = layer(fact, params) | said | ASCEND_910B | {"evidence": "derived", "model": model}
        yield ASCEND_910B_DEVICE, row


def layer(fact: dict[str, str], params: Row) -> Row:
    """Return the experts of a layer; where a source says nothing, one device has all of them."""
    names = ("hidden", "intermediate", "experts", "top_k", "tokens")
    shape = {name: int(fact[name]) for name in names}
    shape["expert_parallel"] = int(fact.get("expert_parallel", 1))
    return experts(shape, FORMATS[fact["format"]][0], params)


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


def sizes(row: Row) -> tuple[float, ...]:
    """Return what orders the cases of a kernel."""
    names = ("hidden", "intermediate", "experts", "tokens", "m", "n", "k")
    return tuple(number(row.get(name) or 0) for name in names)


if __name__ == "__main__":
    main()
