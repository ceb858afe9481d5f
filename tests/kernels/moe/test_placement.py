"""Experts that several devices share: what reaches the device that is measured."""

import numpy as np
import pytest
from pydantic import ValidationError

from bench.catalog.models import get_model
from bench.config.cases import Case
from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.placement import find_device
from bench.kernels.routing import DRAWINGS_KEPT, choose_experts

DEEPSEEK = {
    **get_model("deepseek-v3").moe_layer(),
    "dtype": "bfloat16",
    "tokens": 4096,
    "routing": "power_law",
    "routing_exponent": 0.8,
}
SMALL = {
    "dtype": "float32",
    "hidden": 12,
    "intermediate": 10,
    "experts": 8,
    "top_k": 3,
    "tokens": 9,
}


def test_skew_is_not_averaged_away_when_devices_share_the_experts():
    """Eight neighboring experts of 256: as unequal as in the routing of all devices' tokens."""
    assert MoeLayer(**DEEPSEEK).work(0).load.imbalance == pytest.approx(17.0, abs=0.05)
    case = MoeLayer(**DEEPSEEK, expert_parallel=32)
    drawn = case.drawn(0)
    assert drawn.shape == (32 * 4096, 8)
    loads = np.bincount(drawn.ravel(), minlength=256).reshape(32, 8)
    inside = loads.max(axis=1) / loads.mean(axis=1)
    devices = loads.sum(axis=1) / loads.sum(axis=1).mean()
    spread = inside.min(), np.median(inside), inside.max()
    assert spread == pytest.approx((1.51, 2.59, 5.92), abs=0.01)
    assert (devices.min(), devices.max()) == pytest.approx((0.42, 2.94), abs=0.01)
    by_name = {
        name: MoeLayer(**DEEPSEEK, expert_parallel=32, device=name).work(0)
        for name in ("mean", "median", "hottest")
    }
    assert case.work(0) == by_name["mean"]
    assert by_name["hottest"].load.device_load == devices.max()
    assert by_name["median"].load.device_load == np.sort(devices)[16]
    assert abs(by_name["mean"].load.device_load - 1) == np.abs(devices - 1).min()
    for work in by_name.values():
        (device,) = np.flatnonzero(devices == work.load.device_load)
        assert work.load.imbalance == inside[device]


@pytest.mark.parametrize("routing", ["uniform", "power_law"])
@pytest.mark.parametrize("device", ["mean", "median", "hottest"])
def test_flops_follow_from_what_reaches_the_device(routing, device):
    case = MoeLayer(**SMALL, routing=routing, expert_parallel=4, device=device)
    assigned = case.assignments(0)
    gate = 2 * 9 * 12 * 8
    assert case.work(0).flops == gate + len(assigned) * 6 * 12 * 10
    assert case.work(0).load.device_load == len(assigned) / (9 * 3)
    stages = case.stage_work(0)
    assert sum(work.flops for work in stages.values()) == case.work(0).flops
    per_token = np.bincount(assigned.token, minlength=9)
    assert per_token.max() - per_token.min() <= 1, "own tokens stand for equal parts"
    assert case.work(0).tokens == 9


def test_many_cases_in_turn_draw_their_routing_once():
    cases = [
        MoeLayer(**{**SMALL, "tokens": tokens}, routing="uniform", expert_parallel=2)
        for tokens in range(50, 50 + 2 * DRAWINGS_KEPT)
    ]
    choose_experts.cache_clear()
    for _ in range(3):
        for case in cases:
            case.work(1)
            case.make_inputs(1)
    assert choose_experts.cache_info().misses == len(cases)


def test_all_devices_together_compute_every_assignment():
    case = MoeLayer(**SMALL, routing="power_law", expert_parallel=4)
    drawn = case.drawn(0)
    loads = np.bincount(drawn.ravel() // 2, minlength=4)
    assert loads.sum() == 4 * 9 * 3
    assert loads.max() == len(
        MoeLayer(**SMALL, routing="power_law", expert_parallel=4, device="hottest").assignments(0)
    )


@pytest.mark.parametrize(
    ("loads", "mean", "median", "hottest"),
    [
        ([1, 2, 3], 1, 1, 2),
        ([4, 1, 3, 2], 2, 2, 0),
        ([5, 5, 5], 0, 1, 0),
        ([0, 0, 8, 0], 2, 2, 2),
        ([0, 0], 0, 0, 0),
    ],
)
def test_devices_by_name(loads, mean, median, hottest):
    names = ("mean", "median", "hottest")
    assert [find_device(np.array(loads), name) for name in names] == [mean, median, hottest]


def test_equal_loads_need_no_name_and_keep_their_case():
    plain = Case(MoeLayer(**SMALL, expert_parallel=4))
    assert Case(MoeLayer(**SMALL, expert_parallel=4, device="hottest")).case_id == plain.case_id
    assert plain.kernel.named_device is None
    assert "device" not in plain.title
    skewed = [
        Case(MoeLayer(**SMALL, routing="uniform", expert_parallel=4, **more))
        for more in ({}, {"device": "mean"}, {"device": "hottest"})
    ]
    assert skewed[0].case_id == skewed[1].case_id != skewed[2].case_id
    assert skewed[2].title.endswith("uniform hottest device")
    assert skewed[0].kernel.parameters()["device"] == "mean"


def test_a_name_of_no_device_is_refused():
    with pytest.raises(ValidationError, match="'mean', 'median' or 'hottest'"):
        MoeLayer(**SMALL, routing="uniform", expert_parallel=4, device="coldest")


def test_capacity_is_that_of_the_experts_whatever_the_device():
    more = {"routing": "power_law", "capacity_factor": 1.0}
    alone = MoeLayer(**SMALL, **more)
    shared = MoeLayer(**SMALL, **more, expert_parallel=4, device="hottest")
    assert alone.capacity == 4  # 9 · 3 / 8
    assert shared.capacity == 14  # of four times as many tokens
    assert shared.load(0)[0].max() <= 14
    assert shared.work(0).load.dropped > 0


def test_zero_computation_experts_are_scored_and_not_computed():
    case = MoeLayer(**{**SMALL, "tokens": 12}, zero_experts=4)
    assigned = case.assignments(0)
    assert len(assigned) == 12 * 3 * 8 / 12, "balanced routing chooses all of them equally"
    assert np.bincount(assigned.token).tolist() == [2] * 12
    assert case.work(0).flops == 2 * 12 * 12 * 12 + len(assigned) * 6 * 12 * 10
    assert case.make_inputs(0)["router"].array.shape == (12, 12)
    assert case.make_inputs(0)["up"].array.shape == (8, 10, 12)
    assert case.shape() == "8+4 zero experts top-3 12×10 12 tokens balanced"
    with pytest.raises(ValidationError, match="zero_experts: cannot be combined with groups"):
        MoeLayer(**SMALL, zero_experts=4, groups=2)
