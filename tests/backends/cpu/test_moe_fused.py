"""The processor's own products: every height of a tile, ragged widths, and machines that lack something."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.cpu import moe_fused, native
from backends.cpu.backend import CpuBackend
from backends.cpu.cache_folder import cache_folder
from backends.cpu.moe_fused import ACTIVATIONS, Fused, GroupedLinear
from backends.torch.moe.loop import activate
from bench.backend import Device
from bench.errors import Unsupported
from bench.kernels.moe.layer import MoeLayer

BACKEND = CpuBackend()
DEVICE = Device(index=0, name="test", chip="test", cache_bytes=None)
CPU = torch.device("cpu")
LAYER = {"hidden": 64, "intermediate": 32, "experts": 4, "top_k": 2, "tokens": 24}

needs_the_library = pytest.mark.skipif(
    native.native_missing() is not None, reason=str(native.native_missing())
)


@pytest.fixture
def afresh(monkeypatch, tmp_path):
    """Forget what was compiled; compile into an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for cached in (native.native_library, cache_folder):
        cached.cache_clear()
    yield tmp_path / "accelerator-bench"
    for cached in (native.native_library, cache_folder):
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
        rows = x[starts[group] : starts[group] + count].double()
        expected = rows @ up[group].double().T
        if activation is not None:
            case = MoeLayer(dtype="float64", activation=activation, **LAYER)
            expected = activate(case, expected, rows @ gate[group].double().T)
        written = out[starts[group] : starts[group] + count].double()
        # Half a unit in the last place of bfloat16, and what float32 sums may be off.
        tolerance = expected.abs() / 256 + 1e-4 * (1 + expected.abs().max())
        assert ((written - expected).abs() <= tolerance).all()


@needs_the_library
def test_best_where_there_is_no_amx(monkeypatch):
    topology = moe_fused.cpu_topology()
    without = topology.identity.flags - {"amx_bf16"}
    for flags, first in [(without, "fused"), (without | {"amx_bf16"}, "packed")]:
        identity = dataclasses.replace(topology.identity, flags=flags)
        other = dataclasses.replace(topology, identity=identity)
        monkeypatch.setattr(moe_fused, "cpu_topology", lambda other=other: other)
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
    native.native_library()
    (library,) = afresh.iterdir()
    written = library.stat().st_mtime_ns
    native.native_library.cache_clear()
    native.native_library()
    assert [library] == [*afresh.iterdir()]
    assert library.stat().st_mtime_ns == written


@needs_the_library
@pytest.mark.parametrize(
    ("compiler", "reason"),
    [("no-such-cc", "no-such-cc was not found"), ("false", "cannot compile")],
)
def test_a_machine_without_a_compiler_measures_the_next_best(afresh, monkeypatch, compiler, reason):
    monkeypatch.setenv("CC", compiler)
    case = MoeLayer(dtype="bfloat16", **LAYER)
    assert reason in BACKEND.unsupported(case, "fused", DEVICE)
    assert BACKEND.unsupported(case, "packed", DEVICE) is None
    with pytest.raises(Unsupported, match=reason):
        native.native_library()
    assert not any(afresh.glob("*"))


@needs_the_library
@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("true", "true is no C compiler"),
        ("'gcc", "CC='gcc is no command line"),
        ("sh -c 'for out; do :; done; : > $out' sh", "cannot be loaded"),
    ],
)
def test_a_program_that_is_no_compiler_is_named(afresh, monkeypatch, compiler, reason):
    monkeypatch.setenv("CC", compiler)
    assert reason in native.native_missing()
    assert not any(afresh.glob("*"))


@needs_the_library
@pytest.mark.parametrize("compiler", ["", "  ", "cc -m64", "env LC_ALL=C cc"])
def test_the_compiler_is_a_command_line(afresh, monkeypatch, compiler):
    monkeypatch.setenv("CC", compiler)
    assert native.native_missing() is None


def spoil_nothing(library: Path) -> None:
    """Leave the file as it is."""


def cut(library: Path) -> None:
    os.truncate(library, library.stat().st_size // 2)


def empty(library: Path) -> None:
    library.write_bytes(b"")


def change_a_byte(library: Path) -> None:
    code = bytearray(library.read_bytes())
    code[len(code) // 2] ^= 1
    library.write_bytes(code)


def let_others_write(library: Path) -> None:
    library.chmod(0o777)


def give_away(library: Path) -> None:
    os.chown(library, 12345, -1)


def link(library: Path) -> None:
    library.rename(library.with_name("elsewhere"))
    library.symlink_to("elsewhere")


@needs_the_library
@pytest.mark.parametrize(
    "spoil", [spoil_nothing, cut, empty, change_a_byte, let_others_write, give_away, link]
)
def test_a_kept_library_that_is_not_ours_and_whole_is_made_again(afresh, spoil):
    if spoil is give_away and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    native.native_library()
    (library,) = afresh.iterdir()
    before = library.read_bytes(), library.stat().st_ino
    spoil(library)
    native.native_library.cache_clear()
    native.native_library()
    status = library.lstat()
    assert library.read_bytes() == before[0]
    assert (status.st_ino == before[1]) is (spoil is spoil_nothing)
    assert (status.st_uid, status.st_mode & 0o777) == (os.geteuid(), 0o600)


@needs_the_library
def test_a_cache_that_cannot_be_written_is_done_without(afresh, monkeypatch, tmp_path):
    afresh.write_text("a file, not a folder")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert native.native_missing() is None
    assert not any(temporary.iterdir()), "and nothing is left behind"


@needs_the_library
def test_a_cache_where_programs_may_not_lie(afresh):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", afresh.parent],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("only root mounts")
    try:
        for _ in range(2):
            assert native.native_missing() is None
            native.native_library.cache_clear()
    finally:
        subprocess.run(["umount", "-l", afresh.parent], check=True)


def test_missing_instructions_are_named(afresh, monkeypatch):
    topology = native.cpu_topology()
    identity = dataclasses.replace(topology.identity, flags=frozenset({"avx2"}))
    other = dataclasses.replace(topology, identity=identity)
    monkeypatch.setattr(native, "cpu_topology", lambda: other)
    assert "avx512_bf16" in native.native_missing()
