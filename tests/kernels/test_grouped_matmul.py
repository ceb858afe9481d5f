"""grouped_matmul: its work by hand, and a verification that notices what is wrong."""

import numpy as np
import pytest
from pydantic import ValidationError

from bench.kernels import grouped_matmul
from bench.kernels.grouped_matmul import GroupedMatmul

SMALL = {"dtype": "bfloat16", "m": 40, "experts": 4, "n": 24, "k": 16}


def test_flops_are_those_of_the_real_rows_and_bytes_of_the_matrices_reached():
    one = GroupedMatmul(**{**SMALL, "m": 1}).work(0)
    assert one.flops == 2 * 24 * 16
    assert one.weight_bytes == 2 * 24 * 16
    assert one.bytes == one.weight_bytes + 2 * (16 + 24)
    assert one.load.experts_unused == 3
    assert GroupedMatmul(**SMALL).work(0).weight_bytes == 4 * 2 * 24 * 16


def test_groups_follow_the_routing():
    even = GroupedMatmul(**SMALL)
    assert np.bincount(even.owners(0)).tolist() == [10] * 4
    skewed = GroupedMatmul(**SMALL, routing="power_law", routing_exponent=2.0)
    assert skewed.work(0).load.imbalance > 1.5
    assert skewed.make_inputs(0)["ends"].array[-1] == 40


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("damage", ["a row", "the wrong expert", "too few rows"])
def test_a_wrong_product_does_not_pass(damage, sampled, monkeypatch):
    if sampled:
        monkeypatch.setattr(grouped_matmul, "WHOLE_FLOPS", 0)
    case = GroupedMatmul(**SMALL, routing="uniform")
    inputs = case.make_inputs(0)
    owners = case.owners(0)
    c = np.stack(
        [
            inputs["b"].array[owner] @ row
            for owner, row in zip(owners, inputs["a"].array, strict=True)
        ]
    )
    assert case.verify(inputs, {"c": c}, 0).passed
    if damage == "a row":
        c[7] *= 1.5
    elif damage == "the wrong expert":
        c[20] = inputs["b"].array[(owners[20] + 1) % 4] @ inputs["a"].array[20]
    else:
        c = c[:-1]
    assert not case.verify(inputs, {"c": c}, 0).passed


def test_formats_without_such_products_are_refused():
    with pytest.raises(ValidationError, match="no tf32 form"):
        GroupedMatmul(**{**SMALL, "dtype": "tf32"})
