"""matmul: its work, its inputs' layout, and a verification that notices what is wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels import matmul
from bench.kernels.dtypes import DTYPES
from bench.kernels.matmul import Matmul


def product(case, inputs):
    a, b = inputs["a"].array, inputs["b"].array
    a = a if case.layout[0] == "n" else a.swapaxes(1, 2)
    b = b if case.layout[1] == "n" else b.swapaxes(1, 2)
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)


def test_work_is_counted_by_hand():
    work = Matmul(dtype="bfloat16", batch=2, m=3, n=5, k=7).work(0)
    assert work.flops == 2 * 2 * 3 * 5 * 7
    assert work.bytes == 2 * (3 * 7 + 7 * 5 + 3 * 5) * 2
    int8 = Matmul(dtype="int8", m=3, n=5, k=7).work(0)
    assert int8.bytes == 3 * 7 + 7 * 5 + 3 * 5 * 4, "the result of int8 has 32 bits"


def test_4_bit_operands_come_with_a_scale_per_16_values():
    """nvfp4: 12.5 % more bytes than the values. (mxfp4, with a scale per 32, would have 6.25 %.)"""
    work = Matmul(dtype="float4_e2m1", m=128, n=256, k=64).work(0)
    values = (128 + 256) * 64 // 2
    assert work.bytes == values + values // 8 + 2 * 128 * 256
    assert DTYPES["float4_e2m1"].average_bits == 4.5
    assert DTYPES["float4_e2m1"].stored_bytes(3, 17) == 3 * (9 + 2), "rows end in whole bytes"


@settings(max_examples=50)
@given(
    dtype=st.sampled_from(["float32", "float16", "int8"]),
    layout=st.sampled_from(["nn", "nt", "tn", "tt"]),
    m=st.integers(1, 20),
    n=st.integers(1, 20),
    k=st.integers(1, 40),
    batch=st.integers(1, 3),
)
def test_the_true_product_passes(dtype, layout, m, n, k, batch):
    case = Matmul(dtype=dtype, m=m, n=n, k=k, batch=batch, layout=layout)
    inputs = case.make_inputs(3)
    c = product(case, inputs)
    c = c.astype(np.float16) if dtype == "float16" else c
    assert case.verify(inputs, {"c": c}, 3).passed


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c * 1.02,
        lambda c: c.transpose(0, 2, 1).copy(),
        lambda c: np.zeros_like(c),
        lambda c: np.where(np.arange(c.shape[1])[None, :, None] == 7, 0, c),
        lambda c: np.where(np.arange(c.shape[2])[None, None, :] == 7, 0, c),
        lambda c: np.where(c == c.max(), np.nan, c),
        lambda c: c[:, :-1],
    ],
    ids=["2 % off", "transposed", "zeros", "one row", "one column", "a NaN", "shape"],
)
def test_a_wrong_product_does_not_pass(damage, sampled, monkeypatch):
    case = Matmul(dtype="bfloat16", m=64, n=64, k=32)
    inputs = case.make_inputs(0)
    if sampled:
        monkeypatch.setattr(matmul, "WHOLE_FLOPS", 0)
    c = damage(product(case, inputs))
    assert not case.verify(inputs, {"c": c}, 0).passed


def test_a_large_product_is_compared_by_sums_and_says_so(monkeypatch):
    monkeypatch.setattr(matmul, "WHOLE_FLOPS", 0)
    case = Matmul(dtype="float32", m=100, n=200, k=30, batch=2)
    inputs = case.make_inputs(0)
    check = case.verify(inputs, {"c": product(case, inputs)}, 0)
    assert check.passed, check
    assert check.compared == "every element, in sums of 64 columns and of 7 rows"


def test_integers_have_to_be_exact():
    case = Matmul(dtype="int8", m=20, n=20, k=20)
    inputs = case.make_inputs(0)
    c = product(case, inputs)
    assert case.verify(inputs, {"c": c}, 0).rel_error == 0
    c[0, 3, 4] += 1
    assert not case.verify(inputs, {"c": c}, 0).passed


def test_a_zero_product_is_right_for_zero_inputs_only():
    case = Matmul(dtype="float32", m=4, n=4, k=4, inputs="zeros")
    inputs = case.make_inputs(0)
    assert case.verify(inputs, {"c": np.zeros((1, 4, 4))}, 0).passed
    assert not case.verify(inputs, {"c": np.full((1, 4, 4), 1e-6)}, 0).passed


def test_labels_are_short():
    assert Matmul(dtype="bfloat16", m=1, n=2, k=3).label() == "matmul bf16 1×2×3 cold"
    assert Matmul(dtype="int8", m=1, n=2, k=3, batch=4, layout="nt").shape() == "4·1×2×3 nt"
