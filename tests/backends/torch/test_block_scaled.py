"""Block scales: what is stored decodes to the operands, by the layouts as NVIDIA's manuals give them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.torch.block_scaled import E2M1, Mxfp8, Nvfp4
from backends.torch.operands import to_device
from bench.errors import UsageError
from bench.kernels.grouped_matmul import GroupedMatmul
from bench.kernels.matmul import Matmul
from bench.kernels.memory import Memory
from bench.kernels.moe.layer import MoeLayer

GPU = torch.device("cuda", 0)
BOTH = pytest.mark.parametrize(
    "implementation", [Mxfp8(), Nvfp4()], ids=lambda one: type(one).__name__
)

needs_scaled_mm = pytest.mark.skipif(
    not hasattr(torch.nn.functional, "scaled_mm"), reason="this torch has no scaled_mm"
)


def decoded(stored, scales, block):
    """Return the numbers [rows, k] that are meant, read byte by byte."""
    if stored.dtype == torch.float4_e2m1fn_x2:
        pairs = stored.view(torch.uint8).numpy()
        codes = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(len(pairs), -1)
        values = np.where(codes & 8, -1.0, 1.0) * np.array(E2M1)[codes & 7]
    else:
        values = stored.double().numpy()
    rows, k = values.shape
    tiles_across = -(-(k // block) // 4)
    flat = scales.double().numpy()
    for r in range(rows):
        for b in range(k // block):
            tile = r // 128 * tiles_across + b // 4
            offset = tile * 512 + r % 32 * 16 + r % 128 // 32 * 4 + b % 4
            values[r, b * block : (b + 1) * block] *= flat[offset]
    return values


@BOTH
@settings(max_examples=20)
@given(m=st.integers(1, 300), k=st.integers(1, 12), seed=st.integers(0, 9))
def test_what_is_stored_is_the_operand(implementation, m, k, seed):
    case = Matmul(dtype=implementation.dtype, layout="nt", m=m, n=16, k=32 * k)
    given_a = case.make_inputs(seed)["a"]
    stored, scales = implementation.stored(to_device(given_a, torch.device("cpu"))[0])
    assert stored.numel() * 8 == m * 32 * k * (4 if isinstance(implementation, Nvfp4) else 8)
    np.testing.assert_array_equal(decoded(stored, scales, implementation.block), given_a.array[0])
    if m * k > 12:
        # What fills up a tile is a zero byte: 2**-127 or 0.
        used = scales.float()[scales.float() > 1e-30].unique()
        assert len(used) == implementation.exponents, "blocks differ, so a wrong scale is found"


@needs_scaled_mm
@BOTH
@pytest.mark.parametrize(("m", "n", "k"), [(1, 16, 32), (130, 48, 160), (256, 128, 512)])
def test_torch_takes_the_operands(implementation, m, n, k):
    """Tensors without memory: torch checks formats, shapes and the layout of scales all the same."""
    case = Matmul(dtype=implementation.dtype, layout="nt", m=m, n=n, k=k)
    operands = {
        name: to_device(operand, torch.device("cpu")).to("meta")
        for name, operand in case.make_inputs(0).items()
    }
    c = implementation.build(case, operands)()["c"]
    assert (tuple(c.shape), c.dtype) == ((1, m, n), torch.bfloat16)


@needs_scaled_mm
@pytest.mark.parametrize(
    ("implementation", "more", "capability", "reason"),
    [
        (Nvfp4(), {"dtype": "float4_e2m1"}, (10, 0), None),
        (Mxfp8(), {"dtype": "float8_e4m3"}, (10, 3), None),
        (
            Nvfp4(),
            {"dtype": "float4_e2m1"},
            (9, 0),
            "block-scaled products need compute capability 10.0",
        ),
        (Mxfp8(), {"dtype": "float8_e4m3"}, (8, 9), "this GPU has 8.9"),
        (Mxfp8(), {"dtype": "bfloat16"}, (10, 0), "a way to scale float8_e4m3 operands"),
        (Nvfp4(), {"dtype": "float4_e2m1", "layout": "nn"}, (10, 0), "layout nt"),
        (Nvfp4(), {"dtype": "float4_e2m1", "k": 48}, (10, 0), "k that are multiples of 32"),
        (Nvfp4(), {"dtype": "float4_e2m1", "batch": 2}, (10, 0), "no batch"),
    ],
)
def test_what_is_not_supported_says_why(monkeypatch, implementation, more, capability, reason):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    case = Matmul(**{"layout": "nt", "m": 16, "n": 16, "k": 64, **more})
    said = implementation.unsupported(case, GPU)
    assert said is reason is None or reason in said


@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: Memory(operation="copy", dtype=dtype),
        lambda dtype: GroupedMatmul(dtype=dtype, experts=2, m=4, n=8, k=8),
        lambda dtype: MoeLayer(dtype=dtype, hidden=8, intermediate=8, experts=2, top_k=1, tokens=2),
    ],
)
def test_other_kernels_have_no_float4(make):
    with pytest.raises((ValueError, UsageError), match="no float4_e2m1 form"):
        make("float4_e2m1")


def test_half_a_byte_and_the_scales_are_counted():
    case = Matmul(dtype="float4_e2m1", layout="nt", m=64, n=32, k=96)
    values, scales = (64 + 32) * 96 // 2, (64 + 32) * 96 // 16
    assert case.work(0).bytes == values + scales + 64 * 32 * 2
