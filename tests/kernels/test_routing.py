"""Routing: distinct experts, within group limits, with the load that was asked for."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.kernels.grouped_matmul import GroupedMatmul
from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.reference import forward
from bench.kernels.routing import (
    choose_experts,
    expert_load,
    groups_touched_when_balanced,
    places_within_experts,
    routing_sha256,
)


def choose(routing="uniform", tokens=64, experts=32, top_k=4, groups=1, topk_groups=1, **more):
    return choose_experts(
        tokens=tokens,
        experts=experts,
        top_k=top_k,
        groups=groups,
        topk_groups=topk_groups,
        routing=routing,
        exponent=more.get("exponent", 1.0),
        seed=more.get("seed", 0),
    )


@settings(max_examples=200)
@given(
    routing=st.sampled_from(["balanced", "uniform", "power_law"]),
    tokens=st.integers(1, 40),
    groups=st.integers(1, 6),
    group_size=st.integers(1, 9),
    top_k=st.integers(1, 20),
    topk_groups=st.integers(1, 6),
    seed=st.integers(0, 2**63 - 1),
)
def test_experts_are_distinct_and_inside_the_group_limit(
    routing, tokens, groups, group_size, top_k, topk_groups, seed
):
    experts = groups * group_size
    assume(topk_groups <= groups and top_k <= topk_groups * group_size)
    if routing == "balanced":
        assume(groups_touched_when_balanced(experts, top_k, groups) <= topk_groups)
    chosen = choose(routing, tokens, experts, top_k, groups, topk_groups, seed=seed)
    assert chosen.shape == (tokens, top_k)
    assert chosen.dtype == np.int32
    assert chosen.min() >= 0
    assert chosen.max() < experts
    assert (np.diff(chosen, axis=1) > 0).all(), "distinct and ascending"
    if topk_groups < groups:
        assert max(len(set(row // group_size)) for row in chosen) <= topk_groups
    if routing == "balanced":
        counts = np.bincount(chosen.ravel(), minlength=experts)
        assert counts.max() - counts.min() <= 1


def test_balanced_stays_balanced_when_experts_are_shared_by_devices():
    chosen = choose("balanced", tokens=16, experts=256, top_k=8, groups=8, topk_groups=4)
    assert set(np.bincount(chosen.ravel() % 8)) == {16}


def imbalance(counts):
    return expert_load(counts, dropped=0, sha256="").imbalance


def test_power_law_is_more_skewed_than_uniform_and_uniform_than_balanced():
    loads = [
        imbalance(np.bincount(choose(routing, tokens=2000).ravel(), minlength=32))
        for routing in ("balanced", "uniform", "power_law")
    ]
    assert loads[0] == 1.0
    assert 1.0 < loads[1] < 1.3
    assert loads[2] > 2 * loads[1]


def test_exponent_zero_is_uniform():
    counts = np.bincount(choose("power_law", tokens=4000, exponent=0.0).ravel(), minlength=32)
    assert imbalance(counts) < 1.2


def test_popularity_follows_the_exponent():
    counts = np.sort(
        np.bincount(choose("power_law", tokens=100_000, top_k=1, exponent=1.0).ravel())
    )[::-1]
    expected = 1 / np.arange(1, 33)
    assert counts / counts.sum() == pytest.approx(expected / expected.sum(), abs=0.005)


def test_another_seed_is_another_routing_and_hash():
    assert routing_sha256(choose(seed=1)) == routing_sha256(choose(seed=1))
    assert routing_sha256(choose(seed=1)) != routing_sha256(choose(seed=2))


def test_known_routing_on_every_machine():
    """A change of this hash makes results of different versions incomparable: do not just update."""
    assert routing_sha256(choose("uniform", seed=7))[:16] == "5dc80894877db4e2"
    assert routing_sha256(choose("balanced", seed=7))[:16] == "121960ca6538d3f6"


def test_a_load_is_summarized():
    load = expert_load(np.array([6, 2, 0, 0]), dropped=3, sha256="x")
    assert load.imbalance == 3.0
    assert load.imbalance_cv == pytest.approx(np.sqrt(6.0) / 2)
    assert (load.experts_unused, load.dropped) == (2, 3)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=90))
def test_places_count_up_within_each_expert(local):
    places = places_within_experts(np.array(local))
    seen: dict[int, int] = {}
    for expert, place in zip(local, places, strict=True):
        assert place == seen.get(expert, 0)
        seen[expert] = place + 1


def test_a_routing_is_drawn_once_for_everything_that_a_case_needs():
    case = MoeLayer(
        dtype="bfloat16",
        hidden=8,
        intermediate=4,
        experts=8,
        top_k=2,
        tokens=50,
        routing="power_law",
        capacity_factor=1.0,
    )
    choose_experts.cache_clear()
    inputs = case.make_inputs(3)
    case.work(3)
    case.stage_work(3)
    y = forward(case, inputs, np.arange(50), 3).value
    assert case.verify(inputs, {"y": y}, 3).passed
    assert choose_experts.cache_info().misses == 1


def test_a_drawing_is_shared_and_so_cannot_be_changed():
    case = GroupedMatmul(dtype="float32", m=40, experts=4, n=8, k=8, routing="uniform")
    owners = case.owners(0)
    owners[:] = 0
    assert case.owners(0).max() > 0
    drawing = choose_experts(
        tokens=40,
        experts=4,
        top_k=1,
        groups=1,
        topk_groups=1,
        routing="uniform",
        exponent=1.0,
        seed=0,
    )
    with pytest.raises(ValueError, match="read-only"):
        drawing[0] = 1
