"""Adapters of libraries' fused experts: layouts and arguments, on stand-ins with their semantics."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from backends.torch.implementation import offered
from backends.torch.moe.flashinfer import FlashInfer
from backends.torch.moe.vllm import Vllm
from backends.torch.operands import to_device, to_host
from bench.kernels.moe.layer import MoeLayer
from bench.results.columns import STAGES

FOLDER = Path(__file__).parents[3] / "simulators" / "moe_libraries"
SHAPE = {"hidden": 48, "intermediate": 32, "experts": 8, "top_k": 3, "tokens": 20}
GPU = torch.device("cuda", 0)


@pytest.fixture
def libraries(monkeypatch):
    """Let the stand-ins be found, and nothing else of these names."""

    def forget():
        for name in [name for name in sys.modules if name.split(".")[0] in ("flashinfer", "vllm")]:
            del sys.modules[name]

    monkeypatch.syspath_prepend(FOLDER)
    forget()
    yield
    forget()


def run(implementation, case, **more):
    """Return the verification of a layer on the processor."""
    inputs = case.make_inputs(0)
    cpu = torch.device("cpu")
    operands = {name: to_device(one, cpu) for name, one in inputs.items()}
    with torch.inference_mode():
        step = implementation.build(case, operands, **more)
        first, again = (to_host(step()["y"]) for _ in range(2))
    assert (first == again).all()
    return case.verify(inputs, {"y": first}, 0)


def test_an_import_changes_no_settings_of_other_cases(libraries, monkeypatch):
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "7")
    with config.patch(compile_threads=7):
        run(Vllm(), MoeLayer(dtype="bfloat16", **SHAPE))
        assert "vllm" in sys.modules
        assert config.compile_threads == 7
    assert os.environ["TORCHINDUCTOR_COMPILE_THREADS"] == "7"


@pytest.mark.parametrize("implementation", [FlashInfer, Vllm])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"gate": "sigmoid", "scaling": 2.5, "correction_bias": True, "shared_experts": 1},
        {"normalize": False, "expert_parallel": 2},
        {"expert_hidden": 24, "dtype": "float16"},
    ],
)
def test_layers_are_laid_out_as_the_library_wants_them(libraries, implementation, more):
    case = MoeLayer(**{"dtype": "bfloat16", "routing": "power_law", **SHAPE, **more})
    check = run(implementation(), case)
    assert check.passed, check


def test_flashinfer_is_tuned_once_for_all_input_sets(libraries):
    case, implementation = MoeLayer(dtype="bfloat16", **SHAPE), FlashInfer()
    run(implementation, case)
    run(implementation, case)
    assert sys.modules["flashinfer"].tuned == [True]


def test_stages_are_marked(libraries):
    marks = []
    case = MoeLayer(dtype="bfloat16", shared_experts=1, expert_hidden=24, **SHAPE)
    run(Vllm(), case, mark=marks.append)
    assert set(marks) <= set(STAGES)
    assert {"gate", "experts", "combine", "shared"} <= set(marks)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, None),
        ({"graph": True}, None),
        ({"dtype": "float32"}, "float16 and bfloat16"),
        ({"activation": "gelu"}, "with silu"),
        ({"gated": False}, "with silu"),
        ({"capacity_factor": 1.0}, "drops no tokens"),
        ({"pass": "forward_backward"}, "forward pass only"),
        ({"intermediate": 36}, "multiples of 8"),
    ],
)
def test_what_a_library_does_not_take(libraries, monkeypatch, more, reason):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    case = MoeLayer(**{"dtype": "bfloat16", **SHAPE, **more})
    for implementation in (FlashInfer, Vllm):
        said = implementation().unsupported(case, GPU)
        assert said is reason is None or reason in said


def test_older_gpus(libraries, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    case = MoeLayer(dtype="bfloat16", **SHAPE)
    assert "capability 8.9" in FlashInfer().unsupported(case, GPU)
    assert Vllm().unsupported(case, GPU) is None


def test_offered_on_gpus_only_and_missing_ones_say_how_to_get_them():
    case = MoeLayer(dtype="bfloat16", **SHAPE)
    assert "pip install flashinfer-python" in FlashInfer().unsupported(case, GPU)
    assert "pip install vllm" in Vllm().unsupported(case, GPU)
    assert not {"flashinfer", "vllm"} & set(offered("moe_layer", "cpu"))
    names = offered("moe_layer", "cuda")
    assert names.index("flashinfer") > names.index("loop")
