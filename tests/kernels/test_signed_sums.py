"""Sums with random signs: they equal those of the whole product, and every element counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kernels.signed_sums import product, signed_sums, signs

SIZES = st.integers(1, 40)


@given(m=SIZES, n=SIZES, k=SIZES, per_sum=SIZES, seed=st.integers(0, 99))
def test_sums_of_a_product_are_a_product_with_sums(m, n, k, per_sum, seed):
    random = np.random.default_rng(seed)
    a, b = random.integers(-9, 9, (m, k)), random.integers(-9, 9, (k, n))
    sign = signs(n, random)
    sums = signed_sums(a @ b, sign, per_sum)
    assert sums.shape == (m, -(-n // per_sum))
    np.testing.assert_array_equal(sums, product(a, signed_sums(b, sign, per_sum)))


@pytest.mark.parametrize("place", [(0, 0), (9, 17), (29, 99)])
def test_every_element_counts(place):
    array = np.zeros((30, 100))
    sign = signs(100, np.random.default_rng(0))
    array[place] = 1
    sums = signed_sums(array, sign, 16)
    assert np.abs(sums).sum() == 1
    assert np.abs(sums[place[0], place[1] // 16]) == 1
