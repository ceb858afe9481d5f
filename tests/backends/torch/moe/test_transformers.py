"""transformers as a peer: what it refuses, when it is imported, and that `best` leaves it alone.

Its values are verified with those of every other implementation and in tests/oracles.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from backends.cpu.backend import CpuBackend
from backends.torch.moe import transformers as peer
from bench.kernels.moe.layer import MoeLayer

CPU = torch.device("cpu")
SMALL = {"hidden": 16, "intermediate": 16, "experts": 8, "top_k": 2, "tokens": 4}


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"dtype": "int8"}, "no int8 path"),
        ({"dtype": "float64"}, "score in float32"),
        ({"gated": False}, "gated experts"),
        ({"expert_hidden": 8}, "gated experts"),
        ({"scaling": 2.5}, "no groups, correction bias or scaling"),
        ({"gate": "sqrt_softplus"}, "no sqrt_softplus router"),
        ({"gate": "sigmoid", "groups": 8, "topk_groups": 8}, "groups of two experts"),
        ({"activation": "swigluoai", "shared_experts": 1}, "gpt-oss block"),
    ],
)
def test_what_no_block_computes_says_why(parameters, reason):
    case = MoeLayer(**{"dtype": "bfloat16", **SMALL, **parameters})
    assert reason in peer.unsupported(case)


def test_batched_is_for_a_few_tokens():
    shape = {"dtype": "bfloat16", "hidden": 2048, "intermediate": 768, "experts": 32, "top_k": 8}
    few, many = MoeLayer(**shape, tokens=16), MoeLayer(**shape, tokens=4096)
    assert "would copy 288 GiB" in peer.BatchedMm().unsupported(many, CPU)
    assert "would copy" not in (peer.BatchedMm().unsupported(few, CPU) or "")


@pytest.mark.parametrize("found", [peer.Eager, peer.GroupedMm, peer.BatchedMm])
def test_without_transformers_it_says_how_to_get_it(found, monkeypatch):
    case = MoeLayer(dtype="bfloat16", **SMALL)
    monkeypatch.setattr(peer, "find_spec", lambda name: None)
    assert "pip install transformers" in found().unsupported(case, CPU)


def test_a_transformers_of_before_experts_implementation_is_refused(monkeypatch):
    monkeypatch.setattr(peer, "find_spec", lambda name: object())
    monkeypatch.setattr(peer, "version", lambda name: "4.57.1")
    assert "transformers>=5" in peer.Eager().unsupported(MoeLayer(dtype="float32", **SMALL), CPU)


def test_it_comes_after_all_of_ours():
    offered = CpuBackend().implementations("moe_layer")
    peers = {"transformers-eager", "transformers-grouped", "transformers-batched"}
    assert set(offered[-3:]) == peers


def test_nothing_is_imported_before_a_layer_is_built():
    code = (
        "import sys, torch\n"
        "from backends.torch.moe.transformers import Eager\n"
        "from bench.kernels.moe.layer import MoeLayer\n"
        f"Eager().unsupported(MoeLayer(dtype='bfloat16', **{SMALL}), torch.device('cpu'))\n"
        "assert 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
