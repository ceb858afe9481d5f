"""moe_layer: its work by hand, its rules, and a verification that notices what is wrong."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.math import gate_weights
from bench.results.columns import STAGES

SMALL = {
    "dtype": "float32",
    "hidden": 12,
    "intermediate": 10,
    "experts": 8,
    "top_k": 3,
    "tokens": 9,
}


def test_work_of_a_deepseek_v3_layer():
    """Per token: 2·7168·256 for the gate, 6·7168·2048 for each of 8 + 1 experts."""
    case = MoeLayer(
        dtype="bfloat16",
        hidden=7168,
        intermediate=2048,
        experts=256,
        top_k=8,
        shared_experts=1,
        tokens=4096,
    )
    work = case.work(0)
    assert work.flops == 4096 * (3670016 + 704643072 + 88080384)
    expert = 3 * 7168 * 2048
    assert work.bytes == 2 * (256 * expert + expert + 256 * 7168 + 2 * 4096 * 7168)
    assert work.load.imbalance == 1.0


def test_few_tokens_touch_few_experts():
    one = MoeLayer(**{**SMALL, "tokens": 1}).work(0)
    assert one.bytes == 4 * (3 * 3 * 12 * 10 + 8 * 12 + 2 * 12)


def test_expert_parallel_holds_a_share_and_computes_all_its_assignments():
    whole = MoeLayer(**SMALL).work(0)
    share = MoeLayer(**SMALL, expert_parallel=4).work(0)
    assert share.flops == whole.flops
    assert share.load.routing_sha256 == whole.load.routing_sha256
    assert share.bytes < whole.bytes
    assert MoeLayer(**SMALL, expert_parallel=4).make_inputs(0)["up"].array.shape == (2, 10, 12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top_k": 9}, "top_k: 9 is more than experts (8)"),
        ({"groups": 3}, "groups: 3 does not divide experts (8)"),
        ({"groups": 2, "topk_groups": 3}, "topk_groups: 3 is more than groups (2)"),
        (
            {"groups": 4, "topk_groups": 1},
            "top_k: 3 is more than the experts in 1 of 4 groups of 2",
        ),
        ({"expert_parallel": 3}, "expert_parallel: 3 does not divide experts (8)"),
        ({"tokens": 0}, "greater than or equal to 1"),
        ({"scaling": math.nan}, "finite"),
        ({"activation": "swigluoai", "gated": False}, "swigluoai is a gated activation"),
    ],
)
def test_impossible_layers_are_refused(change, message):
    with pytest.raises(ValidationError, match=message.replace("(", r"\(").replace(")", r"\)")):
        MoeLayer(**{**SMALL, **change})


def test_gradients_count_three_times_the_products_and_weights_and_five_halves_of_the_tokens():
    """Weights are read twice and their gradients written; x is read twice, dy once; y and d_x written."""
    forward = MoeLayer(**SMALL).work(0)
    both = MoeLayer(**SMALL, **{"pass": "forward_backward"}).work(0)
    weights = 4 * (8 * 3 * 12 * 10 + 8 * 12)
    assert both.flops == 3 * forward.flops
    assert forward.bytes == weights + 4 * 2 * 9 * 12
    assert (both.bytes, both.weight_bytes) == (3 * weights + 4 * 5 * 9 * 12, 3 * weights)


@pytest.mark.parametrize("dtype", ["int8", "float8_e4m3"])
def test_weights_in_8_bits_come_with_a_float32_scale_per_channel(dtype):
    layer = {**SMALL, "dtype": dtype, "shared_experts": 2, "expert_hidden": 6}
    expert = 3 * 6 * 10 + 4 * (10 + 10 + 6)
    shared = 3 * 12 * 20 + 4 * (20 + 20 + 12)
    latent = 2 * 6 * 12 + 4 * (6 + 12)
    router = 2 * 8 * 12
    work = MoeLayer(**layer).work(0)
    assert work.weight_bytes == 8 * expert + shared + latent + router
    assert work.bytes == work.weight_bytes + 2 * 2 * 9 * 12
    stages = MoeLayer(**layer).stage_work(0)
    assert sum(stage.weight_bytes or 0 for stage in stages.values()) == work.weight_bytes
    inputs = MoeLayer(**layer).make_inputs(0)
    scales = sum(one.array.size for name, one in inputs.items() if name.endswith("_scale"))
    assert 4 * scales == 4 * (8 * (10 + 10 + 6) + 20 + 20 + 12 + 6 + 12)


def test_what_is_dropped_is_not_computed():
    full = MoeLayer(**SMALL, routing="power_law", capacity_factor=0.5)
    free = MoeLayer(**SMALL, routing="power_law")
    dropped = full.work(0).load.dropped
    assert dropped > 0
    assert free.work(0).flops - full.work(0).flops == dropped * 6 * 12 * 10
    assert full.load(0)[0].max() <= full.capacity == 2


def test_stages_add_up_to_the_flops_of_the_layer():
    for more in ({}, {"shared_experts": 2, "expert_hidden": 5}, {"capacity_factor": 0.5}):
        case = MoeLayer(**SMALL, **more)
        stages = case.stage_work(0)
        assert sum(work.flops for work in stages.values()) == case.work(0).flops
        assert set(stages) <= set(STAGES)


@pytest.mark.parametrize("gate", ["softmax", "sigmoid", "sqrt_softplus"])
def test_planted_logits_decide_with_a_wide_margin(gate):
    """Rounding to bfloat16 must not be able to change the choice, with DeepSeek-V3's groups."""
    case = MoeLayer(
        dtype="bfloat16",
        hidden=256,
        intermediate=8,
        experts=256,
        top_k=8,
        groups=8,
        topk_groups=4,
        tokens=2000,
        gate=gate,
        routing="uniform",
    )
    inputs = case.make_inputs(0)
    logits = inputs["x"].array @ inputs["router"].array.T
    assert logits.std() == pytest.approx(0.25, rel=0.05)
    planted = inputs["planted"].array > 0
    total = logits + inputs["planted"].array
    assert total[planted].min() - total[~planted].max() > 1.0


@pytest.mark.parametrize("gate", ["softmax", "sigmoid", "sqrt_softplus"])
@pytest.mark.parametrize("top_k", [1, 8, 32])
def test_a_correction_bias_never_outweighs_the_planted_choice(gate, top_k):
    case = MoeLayer(
        dtype="float32",
        hidden=64,
        intermediate=8,
        experts=64,
        top_k=top_k,
        tokens=3000,
        gate=gate,
        correction_bias=True,
        routing="uniform",
    )
    inputs = case.make_inputs(0)
    logits = (inputs["x"].array @ inputs["router"].array.T).astype(np.float64)
    logits += inputs["planted"].array
    everyone = np.tile(np.arange(64), (3000, 1))
    scores = gate_weights(logits, everyone, gate=gate, normalize=False, scaling=1.0)
    biased = scores + inputs["correction_bias"].array
    planted = inputs["planted"].array > 0
    lowest = np.where(planted, biased, np.inf).min(axis=1)
    highest = np.where(planted, -np.inf, biased).max(axis=1)
    assert (lowest > highest).all()
