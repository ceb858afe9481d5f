"""What each compute capability and version of torch lacks, by the sources that the rules name."""

from __future__ import annotations

import pytest
import torch
from torch.torch_version import TorchVersion

from backends.torch import grouped_matmul, matmul, rowwise
from backends.torch.moe import float8, grouped, transformers
from backends.torch.triton_tiles import TILES, shared_bytes
from bench.kernels.grouped_matmul import GroupedMatmul
from bench.kernels.matmul import Matmul
from bench.kernels.moe.layer import MoeLayer

GPU = torch.device("cuda", 0)
LAYER = {"hidden": 64, "intermediate": 32, "experts": 8, "top_k": 2, "tokens": 16}
ROWWISE = Matmul(dtype="float8_e4m3", layout="nt", m=16, n=16, k=16)


@pytest.fixture
def gpu(monkeypatch):
    """Pretend that a GPU of some compute capability is there, and optionally another torch."""

    def pretend(capability, version=torch.__version__):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch, "__version__", TorchVersion(version))
        monkeypatch.setattr(float8, "has_kernel", lambda operator, device: True)
        monkeypatch.setattr(matmul, "has_kernel", lambda operator, device: True)

    return pretend


@pytest.mark.parametrize(
    ("capability", "grouped_runs"),
    [((8, 9), False), ((9, 0), True), ((10, 0), False), ((10, 3), False), ((12, 0), False)],
)
def test_grouped_float8_products_are_hoppers_and_others_go_expert_by_expert(
    gpu, capability, grouped_runs
):
    gpu(capability, "2.13.0")
    case = MoeLayer(dtype="float8_e4m3", **LAYER)
    reason = float8.Float8Grouped().unsupported(case, GPU)
    assert (reason is None) == grouped_runs
    assert reason is None or "compute capability 9.0 only" in reason
    assert float8.Float8().unsupported(case, GPU) is None


@pytest.mark.parametrize(
    ("capability", "version", "reason"),
    [
        ((8, 6), "2.13.0", "need compute capability 8.9"),
        ((8, 9), "2.11.0+cu130", "ignores the current stream"),
        ((8, 9), "2.12.0+cu130", None),
        ((9, 0), "2.11.0+cu130", None),
        ((10, 0), "2.10.0+cu130", None),
        ((12, 0), "2.10.0+cu130", "no row-wise float8 product"),
        ((12, 0), "2.11.0+cu130", None),
    ],
)
def test_row_wise_float8_products_by_capability_and_torch(gpu, capability, version, reason):
    gpu(capability, version)
    layer = MoeLayer(dtype="float8_e4m3", **LAYER)
    for said in (
        rowwise.Rowwise().unsupported(ROWWISE, GPU),
        float8.Float8().unsupported(layer, GPU),
    ):
        assert said is reason is None or reason in said


@pytest.mark.parametrize(("experts", "refused"), [(1023, False), (1024, True)])
def test_one_launch_takes_fewer_than_1024_groups(gpu, experts, refused):
    gpu((9, 0))
    shape = {**LAYER, "experts": experts}
    product = GroupedMatmul(dtype="bfloat16", experts=experts, m=experts, n=16, k=16)
    for said in (
        grouped_matmul.TorchGroupedMatmul().unsupported(product, GPU),
        grouped.GroupedMoe().unsupported(MoeLayer(dtype="bfloat16", **shape), GPU),
        transformers.GroupedMm().unsupported(MoeLayer(dtype="bfloat16", **shape), GPU),
        float8.Float8Grouped().unsupported(MoeLayer(dtype="float8_e4m3", **shape), GPU),
    ):
        assert (said is not None and "up to 1023 products" in said) == refused
    gpu((8, 0))
    assert grouped_matmul.TorchGroupedMatmul().unsupported(product, GPU) is None, (
        "there the host loops"
    )


def test_tiles_of_every_height_fit_the_shared_memory_of_an_ada_gpu():
    # CUDA programming guide, technical specifications: 99 KiB for a block on compute capability 8.9.
    fitting = [tile for tile in TILES if shared_bytes(tile) <= 99 << 10]
    assert {rows for rows, *_ in fitting} == {rows for rows, *_ in TILES}
    assert max(map(shared_bytes, TILES)) <= 163 << 10, "all of them fit an A100's"
