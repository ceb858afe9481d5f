"""Implementations that compile: torch.compile on the processor, and Triton in its interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from backends.cpu.backend import CpuBackend
from backends.torch.compiled import Compiled
from backends.torch.moe.compiled import Compiled as CompiledLayer
from backends.torch.triton import TritonMatmul
from bench.backend import Device
from bench.kernels.matmul import Matmul
from bench.kernels.moe.layer import MoeLayer

DEVICE = Device(index=0, name="test", chip="test")
CPU = torch.device("cpu")
LAYER = {"hidden": 64, "intermediate": 32, "experts": 4, "top_k": 2, "tokens": 24}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on processors")
def test_a_compiled_product_is_right_and_its_compile_time_is_apart():
    backend = CpuBackend()
    case = Matmul(dtype="float32", layout="nt", m=24, n=16, k=32)
    inputs = case.make_inputs(0)
    prepared = backend.prepare(case, "compiled", DEVICE, inputs)
    assert case.verify(inputs, prepared.outputs(), 0).passed
    assert prepared.compile_s > prepared.run(1), "an execution does not compile again"
    plain = backend.prepare(case, "torch", DEVICE, inputs)
    assert plain.compile_s is None


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on processors")
@pytest.mark.parametrize("direction", ["forward", "forward_backward"])
def test_a_compiled_layer_is_right_and_compiles_once(direction):
    backend = CpuBackend()
    case = MoeLayer(dtype="bfloat16", shared_experts=1, **LAYER, **{"pass": direction})
    inputs = case.make_inputs(0)
    prepared = backend.prepare(case, "compiled", DEVICE, inputs)
    assert case.verify(inputs, prepared.outputs(), 0).passed
    assert prepared.compile_s > prepared.run(1), "an execution does not compile again"


TRITON = """
import torch
from backends.torch.moe.compiled import Compiled as CompiledLayer
from backends.torch.triton import TritonMatmul
from backends.torch.operands import to_device
from bench.kernels.matmul import Matmul
for layout, m, n, k, dtype in [
    ("nn", 16, 32, 16, "float16"), ("nt", 33, 70, 40, "float16"), ("tn", 130, 35, 17, "float16"),
    ("tt", 1, 1, 1, "float16"), ("nt", 40, 40, 100, "float16"),
]:
    case = Matmul(dtype=dtype, layout=layout, m=m, n=n, k=k)
    assert TritonMatmul().unsupported(case, torch.device("cpu")) is None
    inputs = case.make_inputs(0)
    operands = {name: to_device(operand, "cpu") for name, operand in inputs.items()}
    c = TritonMatmul().build(case, operands)()["c"]
    check = case.verify(inputs, {"c": c.float().numpy()}, 0)
    assert check.passed, (case, check)

# Rows of b so far apart that the last ones lie beyond 2**31 elements; nearly all of it is never touched.
from backends.torch.triton_kernel import multiply
k, apart = 33, 1 << 26
a, b = torch.randn(4, k).half(), torch.empty(k * apart, dtype=torch.float16).as_strided((k, 16), (apart, 1))
b.copy_(torch.randn(k, 16))
c = torch.empty(4, 16, dtype=torch.float16)
multiply(a, b, c, 4)
torch.testing.assert_close(c, (a.float() @ b.float()).half(), rtol=1e-2, atol=1e-2)
print("right")
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="the package triton is not installed")
def test_the_triton_kernel_in_the_interpreter():
    done = subprocess.run(
        [sys.executable, "-c", TRITON],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "right\n", done.stderr


@pytest.mark.parametrize(
    ("implementation", "case", "reason"),
    [
        (Compiled(), Matmul(dtype="int8", m=8, n=8, k=8), "not int8"),
        (CompiledLayer(), MoeLayer(dtype="float32", **LAYER), "bfloat16 only"),
        (TritonMatmul(), Matmul(dtype="float16", m=8, n=8, k=8), "GPUs only|not installed"),
    ],
)
def test_what_is_not_supported_says_why(monkeypatch, implementation, case, reason):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    said = implementation.unsupported(case, CPU)
    assert any(part in said for part in reason.split("|"))


@pytest.mark.parametrize(
    ("implementation", "case"),
    [
        (Compiled(), Matmul(dtype="float32", m=8, n=8, k=8)),
        (CompiledLayer(), MoeLayer(dtype="bfloat16", **LAYER)),
    ],
)
def test_no_compiler_is_named(monkeypatch, implementation, case):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no-such-compiler" in implementation.unsupported(case, CPU)


@pytest.mark.parametrize("kernel", ["matmul", "moe_layer"])
def test_the_best_does_not_compile(kernel):
    assert not CpuBackend().implementations(kernel)[0].startswith(("compiled", "triton"))
