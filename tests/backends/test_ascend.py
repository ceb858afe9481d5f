"""The Ascend backend as users run it, with the real torch-npu, on simulated nodes.

tests/simulators/with-cann makes what it needs at its first use: a build of half a minute and a
download of 43 MB.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from backends.ascend_errors import code_of, explain, in_words
from bench.errors import DeviceLost, OutOfMemory, Unsupported

WITH_CANN = Path(__file__).parents[1] / "simulators" / "with-cann"
CONFIGS = Path(__file__).parents[2] / "configs"
WHOLE_ENVIRONMENT = {**os.environ, "PYTHON": sys.executable, "COLUMNS": "100", "NO_COLOR": "1"}

QUICK = "measurement: {precision: 0.2, time_budget_s: 0.05, case_timeout_s: 120}\nkernels:\n"
PRODUCT = "  - {kernel: matmul, dtype: bfloat16, m: 64, n: 48, k: 96, cache: hot}\n"
COPY = "  - {kernel: memory, operation: copy, size_mib: 1, cache: hot}\n"
LAYER = (
    "  - {kernel: moe_layer, hidden: 256, intermediate: 64, experts: 16, top_k: 4, tokens: 24,"
    " cache: hot, dtype: bfloat16, "
)
# The gates of DeepSeek-V3 and of Pangu Ultra MoE, and a plain softmax with another activation.
DEEPSEEK = (
    "gate: sigmoid, groups: 4, topk_groups: 2, correction_bias: true, scaling: 2.5,"
    " shared_experts: 1, expert_parallel: 2, routing: [balanced, power_law]}\n"
)
PANGU = "gate: sigmoid, scaling: 2.5, shared_experts: 1, expert_parallel: 2}\n"
SOFTMAX = "gate: softmax, activation: swigluoai}\n"


def run(folder, kernels, *options, status=0, **scenario):
    """Return the rows of a run on a simulated node, and what was printed."""
    (folder / "config.yaml").write_text(QUICK + kernels)
    command = [WITH_CANN, "bench", "run", "config.yaml", "--backend", "ascend", "-o", "rows.csv"]
    environment = {f"CANN_SIM_{name}": str(value) for name, value in scenario.items()}
    done = subprocess.run(
        [*command, "--force", *options],
        cwd=folder,
        env={**WHOLE_ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    with (folder / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(row["simulated"] == "true" for row in rows), "nothing simulated is a measurement"
    return rows, done.stderr


def by_status(rows):
    return {(row["implementation"], row["dtype"]): row["status"] for row in rows}


@pytest.mark.slow
def test_matmul_and_memory(tmp_path):
    kernels = (
        "  - {kernel: matmul, dtype: [float32, hf32, float16, bfloat16, int8, tf32, float8_e4m3],"
        " layout: [nn, nt], m: 64, n: 48, k: 96, cache: hot}\n"
        "  - {kernel: matmul, dtype: bfloat16, batch: 3, m: 32, n: 48, k: 96, cache: cold}\n"
        "  - {kernel: matmul, dtype: bfloat16, m: 32, n: 48, k: 96, cache: hot, graph: true}\n"
        "  - {kernel: memory, operation: [copy, read, triad], dtype: [float32, bfloat16],"
        " size_mib: 1, cache: hot}\n"
    )
    rows, _ = run(tmp_path, kernels, "--implementation", "all", L2=1)
    for row in rows:
        assert row["status"] in ("ok", "unsupported"), row
        if row["status"] == "ok":
            assert row["verified"] == "true"
            assert float(row["time_median_s"]) > 0
    status = by_status(rows)
    for dtype in ("float32", "hf32", "float16", "bfloat16"):
        assert status["torch", dtype] == "ok"
    for dtype in ("float16", "bfloat16", "int8"):
        assert status["npu-fractal-nz", dtype] in ("ok", "unsupported")
    assert status["npu-quant", "int8"] == "ok"
    assert status["torch", "int8"] == status["torch", "tf32"] == "unsupported"
    nz = [r for r in rows if r["implementation"] == "npu-fractal-nz" and r["status"] == "ok"]
    assert {row["dtype"] for row in nz} == {"float16", "bfloat16", "int8"}
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
    rows, _ = run(tmp_path, LAYER + DEEPSEEK + LAYER + PANGU + LAYER + SOFTMAX,
                  "--implementation", "all")  # fmt: skip
    done = [row for row in rows if row["implementation"] != "float8"]
    for row in done:
        assert row["status"] == "ok", row
        assert row["verified"] == "true"
    others = [row for row in rows if row not in done]
    assert {row["status"] for row in others} <= {"unsupported"}, (
        "float8 is no implementation of bf16"
    )
    names = {row["implementation"] for row in done}
    assert names == {"npu-fused", "npu-fused-nz", "npu-finalize", "grouped", "loop"}


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
@pytest.mark.parametrize(
    "config", ["smoke", "matmul", "memory", "moe-deepseek-v3", "moe-pangu-ultra"]
)
def test_shipped_configs_cut_down(tmp_path, config):
    shipped = yaml.safe_load((CONFIGS / f"{config}.yaml").read_text())
    blocks: list[dict] = []
    for block in shipped["kernels"]:
        small = cut_down(block)
        if small not in blocks:
            blocks.append(small)
    text = yaml.safe_dump(blocks)
    rows, _ = run(tmp_path, text, "--precision", "0.5")
    assert {row["status"] for row in rows} <= {"ok", "unsupported"}
    assert all(row["verified"] == "true" for row in rows if row["status"] == "ok")
    done = {row["kernel"] for row in rows if row["status"] == "ok"}
    assert done == {block["kernel"] for block in blocks}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("aclnnMm:fail@50", "error", "507015"),
        ("aclnnMm:wrong", "wrong_result", "rounding explains"),
        ("aclnnMm:out_of_memory@50", "out_of_memory", "207001"),
        ("aclnnMm:lost@50", "device_lost", "507010"),
        ("aclnnMm:hang@50", "timeout", "no answer"),
    ],
)
def test_faults_end_in_their_status(tmp_path, fault, status, said):
    # From the 50th product on the case is being timed; the ones before it warm the device up.
    product, copy = run(tmp_path, PRODUCT + COPY, "--case-timeout", "20", status=1, FAULTS=fault)[0]
    assert product["status"] == status
    assert said in product["error"]
    assert copy["status"] == ("device_lost" if status == "device_lost" else "ok")


@pytest.mark.slow
def test_memory_ends(tmp_path):
    big = "  - {kernel: memory, operation: copy, size_mib: 80, cache: hot}\n"
    large, small = run(tmp_path, big + COPY, status=1, MEMORY=128)[0]
    assert large["status"] == "out_of_memory"
    assert "GiB" in large["error"]
    assert small["status"] == "ok"


@pytest.mark.slow
def test_all_of_eight_dies(tmp_path):
    rows, said = run(tmp_path, COPY, "--device", "all", DEVICES=8, CHIP="Ascend910_9392")
    assert [row["device_index"] for row in rows] == [str(index) for index in range(8)]
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["chip"] for row in rows} == {"ascend-910c-die"}
    assert "SIMULATED" in said
    assert "CANN 9.1.0 (simulated)" in rows[0]["runtime"]


@pytest.mark.slow
def test_an_operator_without_kernel_fails_by_name():
    done = subprocess.run(
        [WITH_CANN, "python", "-c", "import torch; torch.ones(3, 3, device='npu').inverse().cpu()"],
        env=WHOLE_ENVIRONMENT, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "is not simulated" in done.stderr


@pytest.mark.skipif(find_spec("torch_npu") is not None, reason="this machine has torch-npu")
def test_without_torch_npu(bench):
    done = bench("run", "smoke", "--backend", "ascend", status=2)
    assert "torch-npu is not installed" in done.stderr
    assert "pip install torch-npu==" in done.stderr


@pytest.mark.slow
def test_without_cann():
    # The environment of the simulated node, without its libraries.
    command = [WITH_CANN, "env", "LD_LIBRARY_PATH=", "bench", "run", "smoke", "--backend", "ascend"]
    done = subprocess.run(
        command, env=WHOLE_ENVIRONMENT, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 2
    assert "CANN is not found" in done.stderr
    assert "set_env.sh" in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_are_told_in_words():
    text = "call aclnnMm failed, error code is 507010\n[ERROR] 2026 (PID:1) ERR00100"
    assert code_of(text) == 507010
    assert explain(text).startswith("the device's task scheduler has stopped answering")
    for message, kind in (
        (text, DeviceLost),
        ("call aclnnMm failed, error code is 207001", OutOfMemory),
        ("call aclnnMm failed, error code is 161002", Unsupported),
        ("The operator 'aten::_int_mm' would execute its main computation on CPU", Unsupported),
        ("aclnnFoo or aclnnFooGetWorkspaceSize not in libopapi.so", Unsupported),
    ):
        with pytest.raises(kind), in_words():
            raise RuntimeError(message)
    with pytest.raises(RuntimeError, match="of another kind"), in_words():
        raise RuntimeError("of another kind")
