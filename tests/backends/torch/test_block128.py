"""Scales in blocks of 128: they undo what is stored, and torch takes them in the layout that it reads."""

from __future__ import annotations

import pytest
import torch

from backends.torch.block128 import BLOCK, Block128, stored
from backends.torch.operands import to_device
from bench.kernels.matmul import Matmul

GPU = torch.device("cuda", 0)

needs_scaled_mm = pytest.mark.skipif(
    not hasattr(torch.nn.functional, "scaled_mm"), reason="this torch has no scaled_mm"
)


@pytest.mark.parametrize("height", [1, BLOCK])
def test_scales_undo_what_is_stored(height):
    case = Matmul(dtype="float8_e4m3", layout="nt", m=16, n=256, k=640)
    x = to_device(case.make_inputs(0)["b"], torch.device("cpu"))[0]
    values, scales = stored(x, height)
    assert scales.shape == (256 // height, 5)
    spread = scales.repeat_interleave(height, 0).repeat_interleave(BLOCK, 1)
    assert torch.equal(values.float() * spread, x.float()), "powers of two are exact"
    assert len(scales.unique()) == 4, "blocks differ, so that a wrong scale is noticed"


@needs_scaled_mm
@pytest.mark.parametrize(("m", "n", "k"), [(1, 128, 128), (130, 384, 640), (256, 256, 512)])
def test_torch_takes_the_operands(m, n, k):
    """Tensors without memory: torch checks formats and the layout of scales all the same."""
    case = Matmul(dtype="float8_e4m3", layout="nt", m=m, n=n, k=k)
    operands = {
        name: to_device(operand, torch.device("cpu")).to("meta")
        for name, operand in case.make_inputs(0).items()
    }
    c = Block128().build(case, operands)()["c"]
    assert (tuple(c.shape), c.dtype) == ((1, m, n), torch.bfloat16)


@needs_scaled_mm
def test_the_layout_of_the_scales_is_that_of_torchs_checks(monkeypatch):
    """ScaledBlas.cpp: [m, k/128] with strides (1, m), [k/128 up to a multiple of 4, n/128] with (1, that)."""
    seen = []
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_mm",
        lambda *arguments, **more: seen.extend(arguments) or seen[0],
    )
    case = Matmul(dtype="float8_e4m3", layout="nt", m=48, n=384, k=640)
    cpu = torch.device("cpu")
    operands = {name: to_device(one, cpu) for name, one in case.make_inputs(0).items()}
    Block128().build(case, operands)()
    _, b, scale_a, _, scale_b, _ = seen
    assert (scale_a.shape, scale_a.stride()) == ((48, 5), (1, 48))
    assert (scale_b.shape, scale_b.stride()) == ((8, 3), (1, 8))
    assert b.stride() == (1, 640)


@needs_scaled_mm
@pytest.mark.parametrize(
    ("more", "capability", "reason"),
    [
        ({}, (9, 0), None),
        ({}, (10, 0), "need compute capability 9.0, this GPU has 10.0"),
        ({"dtype": "bfloat16"}, (9, 0), "a way to scale float8_e4m3"),
        ({"layout": "nn"}, (9, 0), "layout nt"),
        ({"k": 192}, (9, 0), "multiples of 128"),
        ({"batch": 2}, (9, 0), "no batch"),
    ],
)
def test_what_is_not_supported_says_why(monkeypatch, more, capability, reason):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    shape = {"dtype": "float8_e4m3", "layout": "nt", "m": 16, "n": 128, "k": 128}
    said = Block128().unsupported(Matmul(**{**shape, **more}), GPU)
    assert said is reason is None or reason in said
