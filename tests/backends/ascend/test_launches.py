"""How cases reach a chip: on their own device, by its own operators, recorded within its limits."""

from __future__ import annotations

import pytest

from tests.simulators.cann_node import run

SMALL = "hidden: 64, experts: 16, top_k: 4, tokens: 8, cache: hot, dtype: bfloat16"
RAGGED = f"{SMALL}, expert_parallel: 2, routing: [balanced, power_law]"
LAYER = "{kernel: moe_layer, hidden: 256, intermediate: 64, top_k: 2, tokens: 8, cache: hot"
PARTS = (
    "  - {kernel: grouped_matmul, dtype: [float16, int8], m: 48, experts: 4, n: 32, k: 64, cache: hot}\n"
    f"  - {{kernel: moe_gate, {SMALL}, gate: [softmax, sigmoid]}}\n"
    f"  - {{kernel: moe_dispatch, {RAGGED}}}\n"
    f"  - {{kernel: moe_combine, {RAGGED}}}\n"
)
LAYERS = (
    f"  - {LAYER}, experts: 8, dtype: [bfloat16, int8], gate: softmax, zero_experts: 4}}\n"
    f"  - {LAYER}, experts: 8, dtype: bfloat16, gate: softmax, graph: true}}\n"
)


@pytest.mark.slow
def test_a_run_on_one_device_of_four(tmp_path):
    rows, said = run(
        *(tmp_path, PARTS + LAYERS, "--device", "3", "--rounds", "1"),
        environment={"TASK_QUEUE_ENABLE": "2", "PYTORCH_NPU_ALLOC_CONF": "max_split_size_mb:250"},
        DEVICES=4,
        CALLS=tmp_path / "calls",
    )
    assert {(row["status"], row["verified"]) for row in rows} == {("ok", "true")}, said
    calls = (tmp_path / "calls").read_text().split()
    assert {call for call in calls if call.startswith("aclrtSetDevice")} == {"aclrtSetDevice:3"}
    chosen = {row["kernel"]: row["implementation"] for row in rows if row["kernel"] != "moe_layer"}
    assert chosen == {
        "grouped_matmul": "npu-grouped",
        "moe_gate": "npu-gating",
        "moe_dispatch": "npu-routing",
        "moe_combine": "npu-unpermute",
    }
    assert not [row["warnings"] for row in rows if "AI cores" in row["warnings"]]
    assert not {"aclnnSearchSorted", "aclnnBincount", "aclnnCumsum"} & set(calls)
    queue = {row["timing"]: row["device_state"].split("; ")[0] for row in rows}
    assert queue == {"events": "TASK_QUEUE_ENABLE=2", "graph": "TASK_QUEUE_ENABLE=1"}


@pytest.mark.slow
def test_stand_ins_of_torch(tmp_path):
    """What torch composes says where it runs."""
    kernels = (
        f"  - {{kernel: moe_dispatch, {SMALL}}}\n"
        f"  - {LAYER}, experts: 4, dtype: bfloat16, graph: [false, true]}}\n"
    )
    rows, said = run(tmp_path, kernels, "--implementation", "all", "--rounds", "1")
    assert {row["status"] for row in rows} == {"ok", "unsupported"}, said
    sorts = [row["warnings"] for row in rows if row["implementation"] == "torch"]
    assert all("sort of int32 on the AI CPU" in warning for warning in sorts)
    eager, recorded = (row for row in rows if row["implementation"] == "grouped")
    assert "the host waits for grouped_mm" in eager["warnings"]
    assert recorded["status"] == "unsupported"
    assert "a graph cannot record" in recorded["error"]


@pytest.mark.slow
def test_an_operator_of_older_cann(tmp_path):
    """With CANN before 8.5, one shape takes another operator, which counts in int32."""
    kernels = (
        "  - {kernel: moe_dispatch, hidden: 2048, experts: 128, top_k: 4, tokens: 8, cache: hot,"
        " dtype: bfloat16}\n"
    )
    (row,), _ = run(
        *(tmp_path, kernels, "--rounds", "1"), VERSION="8.3.RC1", CALLS=tmp_path / "calls"
    )
    assert (row["implementation"], row["verified"]) == ("npu-routing", "true")
    assert "aclnnMoeInitRoutingV2" in (tmp_path / "calls").read_text().split()


@pytest.mark.slow
def test_a_310p(tmp_path):
    layer = f"  - {LAYER}, experts: 4, dtype: float16}}\n"
    product = "  - {kernel: matmul, dtype: [float16, bfloat16], m: 16, n: 32, k: 64, cache: hot}\n"
    rows, said = run(tmp_path, layer + product, "--rounds", "1", CHIP="Ascend310P3")
    assert [row["status"] for row in rows] == ["ok", "ok", "unsupported"], said
    assert rows[0]["implementation"] == "loop", "the operators of layers are for the 910B and newer"
