"""What goes wrong on Ascend nodes, on simulated ones: each ends as its status, and is told in words."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.simulators.cann_node import COPY, PRODUCT, command, run


@pytest.mark.slow
def test_faults_end_in_their_status(tmp_path):
    """One run, in which each case meets a fault of its own and the next one a new worker."""
    kernels = (
        PRODUCT
        + "  - {kernel: matmul, dtype: bfloat16, batch: 3, m: 32, n: 48, k: 96, cache: hot}\n"
        + "  - {kernel: memory, operation: [read, triad], size_mib: 1, cache: hot}\n"
        + COPY
        + "  - {kernel: moe_gate, hidden: 64, experts: 16, top_k: 4, tokens: 8, cache: hot,"
        + " dtype: bfloat16}\n"
        + "  - {kernel: memory, operation: copy, size_mib: 2, cache: hot}\n"
    )
    faults = {
        "aclnnMm": "fail@200",  # the ones before it warm the device up, or are the reference product
        "aclnnBatchMatMul": "wrong",
        "aclnnReduceSum": "out_of_memory",
        "aclnnMoeGatingTopKSoftmax": "lost",
    }
    rows, _ = run(tmp_path, kernels, "--rounds", "1", status=1,
                  FAULTS=",".join(f"{name}:{fault}" for name, fault in faults.items()))  # fmt: skip
    met = [(row["status"], row["error"]) for row in rows]
    expected = [
        ("error", "507015"),
        ("wrong_result", "rounding explains"),
        ("out_of_memory", "207001"),
        ("ok", ""),
        ("ok", ""),
        ("device_lost", "507010"),
        ("device_lost", ""),
    ]
    assert [status for status, _ in met] == [status for status, _ in expected], met
    for (_, error), (_, said) in zip(met, expected, strict=True):
        assert said in error


@pytest.mark.slow
def test_an_operator_that_hangs(tmp_path):
    row = run(tmp_path, PRODUCT, "--case-timeout", "10", status=1, FAULTS="aclnnMm:hang@50")[0][0]
    assert row["status"] == "timeout"
    assert "no answer" in row["error"]


@pytest.mark.slow
def test_memory_ends(tmp_path):
    big = "  - {kernel: memory, operation: copy, size_mib: 80, cache: hot}\n"
    large, small = run(tmp_path, big + COPY, status=1, MEMORY=128)[0]
    assert large["status"] == "out_of_memory"
    assert "GiB" in large["error"]
    assert small["status"] == "ok"


@pytest.mark.slow
def test_an_operator_without_kernel_fails_by_name():
    program = "import torch; torch.ones(3, 3, device='npu').inverse().cpu()"
    done = command("python", "-c", program)
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
    done = command("env", "LD_LIBRARY_PATH=", "bench", "run", "smoke", "--backend", "ascend")
    assert done.returncode == 2
    assert "CANN is not found" in done.stderr
    assert "set_env.sh" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_device_that_another_process_holds(tmp_path):
    row = run(tmp_path, COPY, status=1, FAULTS="aclrtSetDevice:fail")[0][0]
    assert row["status"] == "error"
    assert "another process may hold it" in row["error"]
    assert "507033" in row["error"]
