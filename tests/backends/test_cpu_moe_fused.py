"""The processor's own products: every height of a tile, ragged widths, and machines that lack something."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backends import cpu_moe_fused, cpu_native
from backends.cache_folder import cache_folder
from backends.cpu import CpuBackend
from backends.cpu_moe_fused import ACTIVATIONS, Fused, GroupedLinear
from backends.torch.moe.loop import activate
from bench.backend import Device
from bench.errors import Unsupported
from bench.kernels.moe.layer import MoeLayer

BACKEND = CpuBackend()
DEVICE = Device(index=0, name="test", chip="test", cache_bytes=None)
CPU = torch.device("cpu")
LAYER = {"hidden": 64, "intermediate": 32, "experts": 4, "top_k": 2, "tokens": 24}

needs_the_library = pytest.mark.skipif(
    cpu_native.native_missing() is not None, reason=str(cpu_native.native_missing())
)


@pytest.fixture
def afresh(monkeypatch, tmp_path):
    """Forget what was compiled; compile into an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for cached in (cpu_native.native_library, cache_folder):
        cached.cache_clear()
    yield tmp_path / "accelerator-bench"
    for cached in (cpu_native.native_library, cache_folder):
        cached.cache_clear()


@needs_the_library
@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(0, 20) | st.integers(21, 70), min_size=1, max_size=5),
    n=st.integers(1, 70),
    k=st.integers(1, 40).map(lambda half: 2 * half),
    activation=st.sampled_from([None, *ACTIVATIONS]),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_products_of_groups(counts, n, k, activation, scale, seed):
    torch.manual_seed(seed)
    starts = torch.tensor([0, *counts]).cumsum(0)
    x = (scale * torch.randn(sum(counts), k)).bfloat16()
    up, gate = (torch.randn(len(counts), n, k).bfloat16() for _ in range(2))
    out = torch.full((len(x) + 1, n), 7.0).bfloat16()
    linear = GroupedLinear(up) if activation is None else GroupedLinear(up, gate, activation)
    linear(x, starts, out[: len(x)])
    assert (out[len(x)] == 7).all(), "nothing is written behind the last row"
    for group, count in enumerate(counts):
        if not count:
            continue
        mine = x[starts[group] : starts[group] + count].double()
        expected = mine @ up[group].double().T
        if activation is not None:
            case = MoeLayer(dtype="float64", activation=activation, **LAYER)
            expected = activate(case, expected, mine @ gate[group].double().T)
        found = out[starts[group] : starts[group] + count].double()
        # Half a unit in the last place of bfloat16, and what float32 sums may be off.
        tolerance = expected.abs() / 256 + 1e-4 * (1 + expected.abs().max())
        assert ((found - expected).abs() <= tolerance).all()


@needs_the_library
def test_best_where_there_is_no_amx(monkeypatch):
    topology = cpu_moe_fused.cpu_topology()
    without = topology.identity.flags - {"amx_bf16"}
    for flags, first in [(without, "fused"), (without | {"amx_bf16"}, "packed")]:
        identity = dataclasses.replace(topology.identity, flags=flags)
        other = dataclasses.replace(topology, identity=identity)
        monkeypatch.setattr(cpu_moe_fused, "cpu_topology", lambda other=other: other)
        assert BACKEND.implementations("moe_layer")[0] == first


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"dtype": "float32"}, "bfloat16"),
        ({"dtype": "bfloat16", "pass": "forward_backward"}, "forward pass only"),
        ({"dtype": "bfloat16", "hidden": 63}, "even"),
        ({"dtype": "bfloat16", "intermediate": 31}, "even"),
        ({"dtype": "bfloat16", "hidden": 63, "expert_hidden": 32, "shared_experts": 1}, "even"),
    ],
)
def test_what_is_not_supported_says_why(parameters, reason):
    assert reason in Fused().unsupported(MoeLayer(**{**LAYER, **parameters}), CPU)


@needs_the_library
def test_it_is_compiled_once(afresh):
    cpu_native.native_library()
    (library,) = afresh.iterdir()
    written = library.stat().st_mtime_ns
    cpu_native.native_library.cache_clear()
    cpu_native.native_library()
    assert [library] == [*afresh.iterdir()]
    assert library.stat().st_mtime_ns == written


@needs_the_library
@pytest.mark.parametrize(
    ("compiler", "said"), [("no-such-cc", "no-such-cc was not found"), ("false", "cannot compile")]
)
def test_a_machine_without_a_compiler_measures_the_next_best(afresh, monkeypatch, compiler, said):
    monkeypatch.setenv("CC", compiler)
    case = MoeLayer(dtype="bfloat16", **LAYER)
    assert said in BACKEND.unsupported(case, "fused", DEVICE)
    assert BACKEND.unsupported(case, "packed", DEVICE) is None
    with pytest.raises(Unsupported, match=said):
        cpu_native.native_library()
    assert not any(afresh.glob("*"))


@needs_the_library
def test_a_cache_that_cannot_be_written_is_done_without(afresh, monkeypatch):
    afresh.write_text("a file, not a folder")
    assert cpu_native.native_missing() is None


def test_another_processor_is_told_what_lacks(afresh, monkeypatch):
    topology = cpu_native.cpu_topology()
    identity = dataclasses.replace(topology.identity, flags=frozenset({"avx2"}))
    other = dataclasses.replace(topology, identity=identity)
    monkeypatch.setattr(cpu_native, "cpu_topology", lambda: other)
    assert "avx512_bf16" in cpu_native.native_missing()
