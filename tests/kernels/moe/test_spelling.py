"""Equal layers have one identifier, however they are written."""

import pytest

from bench.config.cases import Case
from bench.kernels.moe.layer import MoeLayer

LAYER = {
    "dtype": "float32",
    "tokens": 2,
    "hidden": 64,
    "intermediate": 1408,
    "experts": 8,
    "top_k": 2,
}


@pytest.mark.parametrize(
    ("spellings", "said"),
    [
        (
            [
                {"shared_intermediate": 5632},
                {"shared_experts": 1, "shared_intermediate": 5632},
                {"shared_experts": 4},
                {"shared_experts": 4, "shared_intermediate": 5632},
            ],
            {"shared_experts": 4, "shared_intermediate": 5632},
        ),
        (
            [{"shared_intermediate": 100}, {"shared_experts": 2, "shared_intermediate": 100}],
            {"shared_experts": 1, "shared_intermediate": 100},
        ),
        (
            [{}, {"shared_experts": 0}, {"shared_experts": 3, "shared_intermediate": 0}],
            {"shared_experts": 0, "shared_intermediate": 0},
        ),
        ([{}, {"expert_hidden": 64}], {"expert_hidden": None}),
        ([{}, {"routing_exponent": 0.7}, {"device": "hottest"}], {}),
        ([{}, {"groups": 2, "topk_groups": 2}], {}),
        ([{"scaling": 2}, {"scaling": 2.0}], {"scaling": 2.0}),
        (
            [
                {"routing": "uniform", "expert_parallel": 2},
                {"routing": "uniform", "expert_parallel": 2, "device": "mean"},
            ],
            {"device": "mean"},
        ),
    ],
)
def test_equal_layers_are_one_case(spellings, said):
    cases = [Case(MoeLayer(**LAYER, **spelling)) for spelling in spellings]
    assert len({case.case_id for case in cases}) == 1
    assert len({case.kernel.work(0) for case in cases}) == 1
    for case in cases:
        assert said.items() <= case.kernel.parameters().items()


@pytest.mark.parametrize(
    "change",
    [
        {"shared_experts": 3},
        {"expert_hidden": 32},
        {"groups": 2, "topk_groups": 1},
        {"zero_experts": 1},
        {"expert_parallel": 2},
        {"routing": "uniform"},
    ],
)
def test_unequal_layers_are_two(change):
    assert Case(MoeLayer(**LAYER)).case_id != Case(MoeLayer(**{**LAYER, **change})).case_id


def test_wrong_values_are_refused_and_not_respelled():
    for wrong in ("2", -1, True, 2.5):
        with pytest.raises(ValueError, match="shared_experts"):
            MoeLayer(**LAYER, shared_experts=wrong)
        with pytest.raises(ValueError, match="shared_intermediate"):
            MoeLayer(**LAYER, shared_intermediate=wrong)
