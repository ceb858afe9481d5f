"""Backend `cuda`: what can be shown without a GPU, and on one where there is one."""

from __future__ import annotations

import os
import types

import pytest
import torch

from backends.cuda import backend as cuda
from backends.cuda.backend import (
    CudaBackend,
    compile_target,
    device_files_forbidden,
    peaks,
    use_tf32,
)
from backends.torch import matmul
from backends.torch.moe import float8, grouped, int8, loop, transformers
from bench.backend import Device
from bench.kernels.matmul import Matmul
from bench.kernels.moe.layer import MoeLayer
from tests.backends.cuda.test_nvml import H100, UUID
from tests.simulators.nvml.player import Player

DEVICE = Device(index=0, name="test", chip="test")


def properties(name="NVIDIA H900 99GB", major=9, minor=0, sms=132, **more):
    """Return device properties as torch has them, of a GPU that no table lists."""
    return types.SimpleNamespace(
        name=name, major=major, minor=minor, multi_processor_count=sms, **more
    )


def test_a_listed_gpu_has_its_data_sheets_peak():
    found = peaks(properties("NVIDIA H100 80GB HBM3"), "bfloat16")
    assert found.peak_tflops == pytest.approx(989, rel=0.01)
    assert "computed" not in found.peak_source


def test_an_unlisted_gpu_has_a_computed_dense_peak_and_says_so():
    found = peaks(properties(clock_rate=1_980_000), "bfloat16")
    # 132 SMs × 4096 FLOPs a cycle × 1.98 GHz.
    assert found.peak_tflops == pytest.approx(132 * 4096 * 1.98e9 / 1e12)
    assert "132 × 4096 × 1980 MHz" in found.peak_source
    assert "dense" in found.peak_source
    assert found.peak_gbps is None


def test_an_unknown_architecture_or_clock_has_no_peak():
    assert peaks(properties(major=77, clock_rate=1_000_000), "bfloat16").peak_tflops is None
    assert peaks(properties(), "bfloat16").peak_tflops is None
    assert peaks(properties(clock_rate=1_980_000), "hf32").peak_tflops is None


def test_nvmls_clock_and_memory_bus_serve_an_unlisted_gpu(nvml_library, tmp_path):
    player = Player(nvml_library, tmp_path / "scenario")
    snippet = f"""
import types
from dataclasses import asdict
from backends.cuda.backend import peaks
result = asdict(peaks(types.SimpleNamespace(
    name="NVIDIA H100 80GB HBM3 MIG 9g", major=9, minor=0, multi_processor_count=16), "float16", {UUID!r}))
"""
    try:
        found = player.play(H100, snippet)
    finally:
        player.close()
    assert found["peak_tflops"] == pytest.approx(16 * 4096 * 1.98e9 / 1e12)
    assert found["peak_gbps"] == pytest.approx(3352, abs=1)
    assert "memory bus × clock × 2" in found["peak_source"]


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ({"major": 10, "minor": 3}, "sm_103"),
        ({"gcnArchName": "gfx942:sramecc+:xnack-"}, "gfx942"),
        ({"gcnArchName": "NVIDIA H100"}, "sm_90"),
    ],
)
def test_compile_targets(given, target):
    assert compile_target(properties(**given)) == target


def test_device_files_without_permission(tmp_path, monkeypatch):
    assert not device_files_forbidden(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert not device_files_forbidden(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert device_files_forbidden(tmp_path)


def test_an_empty_visibility_is_named(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES is empty" in CudaBackend().unavailable()


def test_a_processors_torch_is_named(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "CPU build" in CudaBackend().unavailable()


@pytest.mark.parametrize("text", ["Found no NVIDIA driver on your system.", "No CUDA GPUs are"])
def test_a_failed_start_is_explained(monkeypatch, text):
    def fail():
        raise RuntimeError(text)

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "init", fail)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    reason = CudaBackend().unavailable()
    assert ("no NVIDIA driver is installed" in reason) == text.startswith("Found")


@pytest.mark.parametrize(
    ("dtype", "capability", "reason"),
    [
        ("bfloat16", (7, 5), "bfloat16 needs compute capability 8.0, this GPU has 7.5"),
        ("float8_e4m3", (8, 6), "float8_e4m3 needs compute capability 8.9"),
        ("float8_e4m3", (9, 0), None),
        ("float4_e2m1", (9, 0), "float4_e2m1 needs compute capability 10.0, this GPU has 9.0"),
        ("float64", (7, 0), None),
        ("hf32", (9, 0), "use tf32 instead"),
    ],
)
def test_dtypes_by_capability(monkeypatch, dtype, capability, reason):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
    said = CudaBackend().dtype_unsupported(dtype, DEVICE)
    assert said is reason is None or reason in said


@pytest.mark.parametrize("name", ["allow_tf32", "fp32_precision"])
def test_tf32_by_either_name(monkeypatch, name):
    matmul = types.SimpleNamespace(**{name: None})
    monkeypatch.setattr(torch.backends.cuda, "matmul", matmul)
    use_tf32(True)
    assert vars(matmul)[name] in (True, "tf32")
    use_tf32(False)
    assert vars(matmul)[name] in (False, "ieee")
    assert list(vars(matmul)) == [name]


def test_the_real_torch_takes_tf32_and_gives_it_back():
    use_tf32(True)
    assert torch.backends.cuda.matmul.allow_tf32
    use_tf32(False)
    assert not torch.backends.cuda.matmul.allow_tf32


GPU = torch.device("cuda", 0)
LAYER = {"hidden": 64, "intermediate": 32, "experts": 8, "top_k": 2, "tokens": 16}


@pytest.mark.parametrize(
    ("implementation", "dtype", "capability", "reason"),
    [
        (loop.Loop, "bfloat16", (9, 0), "loop reads back"),
        (int8.Int8, "int8", (9, 0), "int8, expert by expert, reads back"),
        (float8.Float8, "float8_e4m3", (9, 0), "float8_e4m3, expert by expert, reads back"),
        (float8.Float8Grouped, "float8_e4m3", (9, 0), None),
        (float8.Float8Grouped, "float8_e4m3", (8, 9), "capability 9.0 only"),
        (transformers.Eager, "bfloat16", (9, 0), "transformers-eager reads back"),
        (grouped.Grouped, "bfloat16", (9, 0), None),
        (grouped.Grouped, "bfloat16", (10, 0), None),
        (grouped.Grouped, "bfloat16", (8, 0), "on this GPU reads back"),
        (grouped.Grouped, "bfloat16", (12, 0), "on this GPU reads back"),
    ],
)
def test_layers_that_a_graph_cannot_record(monkeypatch, implementation, dtype, capability, reason):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(float8, "has_kernel", lambda operator, device: True)
    said = implementation().unsupported(MoeLayer(dtype=dtype, graph=True, **LAYER), GPU)
    assert said is reason is None or reason in said
    if implementation is grouped.Grouped:
        assert implementation().unsupported(MoeLayer(dtype=dtype, **LAYER), GPU) is None


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"m": 16, "n": 64, "k": 64}, "17 rows or more"),
        ({"m": 64, "n": 60, "k": 64}, "multiples of 8"),
        ({"m": 17, "n": 8, "k": 8}, None),
    ],
)
def test_int8_products_that_cublaslt_does_not_take(monkeypatch, sizes, reason):
    monkeypatch.setattr(matmul, "has_kernel", lambda operator, device: True)
    said = matmul.TorchMatmul().unsupported(Matmul(dtype="int8", **sizes), GPU)
    assert said is reason is None or reason in said


def test_a_neighbours_fall_is_not_ours(monkeypatch, nvml_library, tmp_path):
    """GPU 1 is gone; an error on GPU 0 keeps its own meaning, one on GPU 1 does not."""
    player = Player(nvml_library, tmp_path / "scenario")
    two = H100 + H100.replace(UUID, "GPU-gone").replace(" 0 ", " 1 ") + "lost 1 0\n"
    snippet = f"""
import torch
from backends.cuda import backend as cuda
cuda._uuid = {{0: {UUID!r}, 1: "GPU-gone"}}.get
result = []
for current in (0, 1):
    torch.cuda.current_device = lambda: current
    result.append(type(cuda.CudaBackend().translated(RuntimeError("CUDA out of memory"))).__name__)
"""
    try:
        assert player.play(two, snippet) == ["OutOfMemory", "DeviceLost"]
    finally:
        player.close()


def test_a_gpu_that_falls_while_its_limits_are_measured_is_lost(nvml_library, tmp_path):
    player = Player(nvml_library, tmp_path / "scenario")
    snippet = f"""
import torch
from backends.cuda import backend as cuda
from bench.backend import Device
def fail(*arguments):
    raise RuntimeError("CUDA error: unspecified launch failure")
torch.cuda.get_device_properties = fail
cuda._uuid = lambda index: {UUID!r}
torch.cuda.current_device = lambda: 0
try:
    cuda.CudaBackend().limits(Device(index=0, name="t", chip="t"), "bfloat16")
except Exception as error:
    result = type(error).__name__
"""
    try:
        assert player.play(H100, snippet) == "RuntimeError"
        assert player.play(H100 + "lost 0 0\n", snippet) == "DeviceLost"
    finally:
        player.close()


needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs an NVIDIA GPU and a torch with CUDA"
)


@pytest.mark.cuda
@needs_gpu
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "tf32", "float16", "bfloat16", "int8", "float8_e4m3"]
)
def test_products_on_a_gpu(dtype, graph):
    backend = CudaBackend()
    device = backend.devices()[0]
    case = Matmul(dtype=dtype, layout="nt", m=512, n=256, k=384, graph=graph)
    tried = 0
    for name in backend.implementations("matmul"):
        if backend.unsupported(case, name, device) is None:
            inputs = case.make_inputs(0)
            prepared = backend.prepare(case, name, device, inputs)
            assert case.verify(inputs, prepared.outputs(), 0).passed, name
            assert prepared.run(10) > 0
            assert case.verify(inputs, prepared.outputs(), 0).passed, name
            prepared.close()
            tried += 1
    assert tried


@pytest.mark.cuda
@needs_gpu
def test_telemetry_and_limits_on_a_gpu():
    backend = CudaBackend()
    device = backend.devices()[0]
    sampler = backend.telemetry(device)
    sampler.start()
    limits = backend.limits(device, "bfloat16")
    seen = sampler.stop()
    assert limits.launch_s > 0
    assert limits.peak_tflops
    assert seen.remark is None
    assert seen.clock_mhz > 100
    assert cuda.nvml.driver_version() == device.driver
