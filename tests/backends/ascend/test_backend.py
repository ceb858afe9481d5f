"""The Ascend backend as users run it, with the real torch-npu, on simulated nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bench.config.load import load_config
from tests.backends.ascend.test_docs import operators, table
from tests.simulators.cann_node import COPY, run

CONFIGS = Path(__file__).parents[3] / "configs"
SHIPPED = ("smoke", "matmul", "memory", "moe-deepseek-v3", "moe-pangu-ultra")

LAYER = (
    "  - {kernel: moe_layer, hidden: 256, intermediate: 64, experts: 16, top_k: 4, tokens: 24,"
    " cache: hot, "
)
# The gates of DeepSeek-V3 and of Pangu Ultra MoE, and a plain softmax with another activation.
DEEPSEEK = (
    "gate: sigmoid, groups: 4, topk_groups: 2, correction_bias: true, scaling: 2.5,"
    " shared_experts: 1, expert_parallel: 2, routing: [balanced, power_law]}\n"
)
PANGU = "gate: sigmoid, scaling: 2.5, shared_experts: 1, expert_parallel: 2}\n"
SOFTMAX = "gate: softmax, activation: swigluoai}\n"


def by_status(rows):
    return {(row["implementation"], row["dtype"]): row["status"] for row in rows}


@pytest.mark.slow
def test_matmul_and_memory(tmp_path):
    kernels = (
        "  - {kernel: matmul, dtype: [float32, hf32, float16, bfloat16, int8], m: 64, n: 48, k: 96,"
        " cache: hot}\n"
        "  - {kernel: matmul, dtype: [tf32, float8_e4m3], m: 64, n: 48, k: 96, cache: hot}\n"
        "  - {kernel: matmul, dtype: bfloat16, batch: 3, m: 32, n: 48, k: 96, cache: cold}\n"
        "  - {kernel: matmul, dtype: bfloat16, m: 32, n: 48, k: 96, cache: hot, graph: true}\n"
        "  - {kernel: memory, operation: [copy, read, triad], dtype: [float32, bfloat16],"
        " size_mib: 1, cache: hot}\n"
    )
    sensors = "power=3000,3100;bandwidth=40;aicore=70"
    rows, _ = run(tmp_path, kernels, sensors=sensors, L2=1)
    assert {row["power_w"] for row in rows if row["status"] == "ok"} <= {"300.0", "305.0", "310.0"}
    assert {row["memory_busy"] for row in rows if row["status"] == "ok"} == {"0.4"}
    for row in rows:
        assert row["status"] in ("ok", "unsupported"), row
        if row["status"] == "ok":
            assert row["verified"] == "true"
            assert float(row["time_median_s"]) > 0
    status = by_status(rows)
    for dtype in ("float32", "hf32", "float16", "bfloat16"):
        assert status["torch", dtype] == "ok"
    assert status["npu-quant", "int8"] == "ok"
    refused = {row["dtype"]: row["error"] for row in rows if row["status"] == "unsupported"}
    assert refused.keys() == {"tf32", "float8_e4m3"}
    assert "hf32" in refused["tf32"]
    assert "Ascend 950" in refused["float8_e4m3"]
    assert {"events", "graph"} <= {row["timing"] for row in rows}
    assert any(int(row["flush_bytes"] or 0) > 0 for row in rows), "cold cycles through the L2"
    errors = {r["dtype"]: float(r["rel_error"]) for r in rows if r["implementation"] == "torch"
              and r["rel_error"] and r["kernel"] == "matmul"}  # fmt: skip
    assert errors["hf32"] > 30 * errors["float32"], "hf32 was asked for and used"
    peaks = {
        row["peak_tflops"] for row in rows if row["dtype"] == "bfloat16" and row["peak_tflops"]
    }
    assert peaks == {"353.8944"}, "the Cube's peak, not the sum with the vector units"


@pytest.mark.slow
def test_layers_by_every_implementation(tmp_path):
    ungated = "gate: softmax, activation: relu2, gated: false, shared_experts: 1}\n"
    latent = "gate: softmax, expert_hidden: 128}\n"
    layer = LAYER + "dtype: bfloat16, "
    int8 = LAYER + "dtype: int8, "
    kernels = layer + DEEPSEEK + layer + PANGU + layer + SOFTMAX
    kernels += int8 + DEEPSEEK.replace("balanced, ", "") + int8 + latent + int8 + ungated
    product = "  - {kernel: matmul, m: 16, n: 32, k: 64, cache: hot, dtype: "
    kernels += product + "[float16, bfloat16, int8]}\n" + product + "int8, layout: nt}\n"
    rows, _ = run(tmp_path, kernels, "--implementation", "all", CALLS=tmp_path / "calls")

    done = {(row["implementation"], row["dtype"]) for row in rows if row["status"] == "ok"}
    plain = ("npu-fused", "npu-fused-nz", "npu-finalize", "grouped", "loop")
    assert done == {
        *((name, "bfloat16") for name in plain),
        *((name, "int8") for name in ("npu-int8", "npu-int8-fused")),
        *(("torch", dtype) for dtype in ("float16", "bfloat16")),
        *(("npu-fractal-nz", dtype) for dtype in ("float16", "bfloat16", "int8")),
        ("npu-quant", "int8"),
    }
    assert all(row["verified"] == "true" for row in rows if row["status"] == "ok")
    for row in rows:
        if row["kernel"] == "moe_layer" and (row["implementation"], row["dtype"]) in done:
            other = row["implementation"] == "npu-int8-fused" and "relu2" in row["params"]
            assert row["status"] == ("unsupported" if other else "ok"), row
            # Rounding to 127 steps shows: nothing was computed in another format instead.
            assert other or row["dtype"] == "bfloat16" or float(row["rel_error"]) > 0.003
    ungated_rows = [row for row in rows if "no activation but SwiGLU" in row["error"]]
    assert len(ungated_rows) == 1

    # What docs/ascend.md calls simulated has been executed, and its results verified above.
    executed = set((tmp_path / "calls").read_text().split())
    listed = {name for row in table() for name in operators(row) if name.startswith("aclnn")}
    # test_launches.py executes what only older CANN needs.
    assert listed - executed == {"aclnnMoeInitRoutingV2"}


def cut_down(block):
    """Return a block of a shipped config in sizes that a simulated chip computes at once."""
    small = {**block, "cache": "hot"}
    if block["kernel"] == "memory":
        small["size_mib"] = 1
    elif block["kernel"] == "matmul":
        small.pop("zip", None)
        small |= {"m": 16, "n": 32, "k": 64, "batch": min(2, block.get("batch", 1))}
    else:
        small |= {"hidden": 256, "intermediate": 64, "shared_intermediate": 64, "tokens": 16}
    return small


@pytest.mark.slow
def test_shipped_configs_cut_down(tmp_path):
    """The configs in one run, which starts torch-npu once, without the cases that they share."""
    blocks: list[dict] = []
    wanted = {}
    for name in SHIPPED:
        shipped = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
        small = [cut_down(block) for block in shipped["kernels"]]
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"kernels": small}))
        wanted[name] = load_config(str(tmp_path / f"{name}.yaml"), force=True).cases
        blocks += [block for block in small if block not in blocks]
    rows, _ = run(tmp_path, yaml.safe_dump(blocks), "--precision", "0.5")
    assert {row["status"] for row in rows} <= {"ok", "unsupported"}
    assert all(row["verified"] == "true" for row in rows if row["status"] == "ok")
    status = {row["case_id"]: row["status"] for row in rows}
    for name, cases in wanted.items():
        assert {case.case_id for case in cases} <= set(status), name
        ok = {case.kernel.name for case in cases if status[case.case_id] == "ok"}
        assert ok == {case.kernel.name for case in cases}, name


@pytest.mark.slow
def test_all_of_eight_dies(tmp_path):
    sensors = "cards=4;chips=2;name=910_9392;power=5000;temperature=50,60;aicore=90;clock=1500"
    rows, said = run(tmp_path, COPY, "--device", "all", sensors=sensors, DEVICES=8,
                     CHIP="Ascend910_9392")  # fmt: skip
    assert [row["device_index"] for row in rows] == [str(index) for index in range(8)]
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["chip"] for row in rows} == {"ascend-910c-9391-die"}
    for row in rows:
        assert (row["clock_mhz"], row["temperature_c"], row["busy"]) == ("1500.0", "60.0", "0.9")
        assert "1800 MHz" in row["throttle"]
        assert row["power_w"] == "250.0", "half of the card's, whose other die is as busy"
        assert "divided by its 2 dies" in row["warnings"]
    assert "SIMULATED" in said
    assert "CANN 9.1.0 (simulated)" in rows[0]["runtime"]
