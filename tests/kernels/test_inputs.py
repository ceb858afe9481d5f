"""Inputs: exact in their dtype, equal for equal seeds, and independent of the number of threads."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.kernels.dtypes import DTYPES, quantize
from bench.kernels.inputs import BLOCK, tensor

TORCH = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8_e4m3": torch.float8_e4m3fn,
}


@pytest.mark.parametrize("dtype", TORCH)
@given(values=st.lists(st.floats(-400, 400, width=32), min_size=1, max_size=50))
def test_quantize_rounds_as_torch_does(dtype, values):
    array = np.array(values, np.float32)
    expected = torch.from_numpy(array.copy()).to(TORCH[dtype]).float().numpy()
    np.testing.assert_array_equal(quantize(array, dtype), expected)


@given(values=st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=50))
def test_float4_is_the_nearest_that_has_a_double(values):
    array = quantize(np.array(values, np.float32), "float4_e2m1")
    quantized = np.abs(array)
    kept = np.array([0, 0.5, 1, 1.5, 2, 3])
    distances = np.abs(np.abs(np.array(values, np.float32))[:, None] - kept)
    assert np.isin(quantized, kept).all()
    np.testing.assert_array_equal(
        np.abs(quantized - np.abs(np.float32(values))), distances.min(axis=1)
    )
    assert np.isin(2 * quantized, [0, 0.5, 1, 1.5, 2, 3, 4, 6]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_survives_quantizing_again(dtype):
    values = tensor((1000,), dtype, seed=1, name="t")
    np.testing.assert_array_equal(quantize(values.copy(), dtype), values)


def test_seed_and_name_decide():
    first = tensor((100,), "float32", seed=1, name="a")
    np.testing.assert_array_equal(first, tensor((100,), "float32", seed=1, name="a"))
    assert not np.array_equal(first, tensor((100,), "float32", seed=2, name="a"))
    assert not np.array_equal(first, tensor((100,), "float32", seed=1, name="b"))


def test_the_number_of_threads_does_not_matter(monkeypatch):
    shape = (3, BLOCK)
    many = tensor(shape, "bfloat16", seed=5, name="t")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    np.testing.assert_array_equal(many, tensor(shape, "bfloat16", seed=5, name="t"))


def test_values_are_standard_normal_in_every_block():
    values = tensor((4, BLOCK), "float32", seed=0, name="t", scale=0.5)
    assert values.mean(axis=1) == pytest.approx(np.zeros(4), abs=0.01)
    assert values.std(axis=1) == pytest.approx(np.full(4, 0.5), rel=0.01)
    assert abs(np.corrcoef(values)[0, 1]) < 0.01


def test_int8_uses_its_range():
    values = tensor((10000,), "int8", seed=0, name="t")
    assert np.array_equal(values, np.rint(values))
    assert values.min() >= -127
    assert values.max() <= 127
    assert 25 < values.std() < 40


@pytest.mark.parametrize(("distribution", "expected"), [("zeros", 0.0), ("constant", 0.25)])
def test_other_distributions(distribution, expected):
    values = tensor((7,), "float32", seed=0, name="t", scale=0.25, distribution=distribution)
    assert (values == expected).all()
