"""moe_gate, moe_dispatch and moe_combine: their bytes by hand, and what verification notices."""

import numpy as np
import pytest
from pydantic import ValidationError

from bench.kernels.moe.parts import MoeCombine, MoeDispatch, MoeGate

SMALL = {"dtype": "bfloat16", "hidden": 12, "experts": 8, "top_k": 3, "tokens": 20}
KERNELS = (MoeGate, MoeDispatch, MoeCombine)


def plain_outputs(case, seed=0):
    """The outputs as a loop over tokens has them."""
    inputs = {name: operand.array for name, operand in case.make_inputs(seed).items()}
    chosen = case.chosen(seed)
    if case.name == "moe_gate":
        logits = inputs["x"] @ inputs["router"].T + inputs["planted"]
        raised = np.exp(np.take_along_axis(logits, chosen.astype(int), axis=1))
        return {"weight": raised / raised.sum(axis=1, keepdims=True), "chosen": chosen}
    if case.name == "moe_combine":
        y = np.zeros((case.tokens, case.width))
        for row, (places, weights) in enumerate(
            zip(inputs["places"], inputs["weight"], strict=True)
        ):
            token = inputs["arrivals"][row] // case.top_k if case.ragged else row
            y[token] += sum(inputs["rows"][p] * w for p, w in zip(places, weights, strict=True))
        return {"y": y}
    rows, counts, places = [], [0] * case.local_experts, np.zeros(inputs["chosen"].shape, int)
    for expert in range(case.local_experts):
        for (row, slot), chosen_expert in np.ndenumerate(inputs["chosen"]):
            token = inputs["arrivals"][row] // case.top_k if case.ragged else row
            full = case.capacity is not None and counts[expert] >= case.capacity
            if chosen_expert == expert and not full:
                places[row, slot] = len(rows)
                rows.append(inputs["x"][token])
                counts[expert] += 1
    return {"rows": np.array(rows), "counts": np.array(counts), "places": places}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"expert_parallel": 2},
        {"expert_parallel": 2, "device": "hottest", "capacity_factor": 0.7},
        {"capacity_factor": 0.7},
        {"zero_experts": 4},
    ],
)
@pytest.mark.parametrize("routing", ["balanced", "uniform", "power_law"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_loop_over_tokens_passes_and_a_damaged_one_does_not(kernel, routing, more):
    if kernel is MoeGate:
        more = {name: value for name, value in more.items() if name == "zero_experts"}
    case = kernel(**SMALL, routing=routing, **more)
    inputs, outputs = case.make_inputs(0), plain_outputs(case)
    assert case.verify(inputs, outputs, 0).passed
    for name, array in outputs.items():
        damaged = array.copy()
        damaged[0] = damaged[0] + 1
        assert not case.verify(inputs, {**outputs, name: damaged}, 0).passed, name


def test_the_bytes_of_each_part():
    gate, dispatch, combine = (kernel(**SMALL).work(0) for kernel in KERNELS)
    assert gate.flops == 2 * 20 * 12 * 8
    assert gate.bytes == 2 * 12 * (20 + 8) + 20 * 3 * 8
    assert (dispatch.flops, combine.flops) == (0, 0)
    assert dispatch.bytes == 2 * 12 * (20 + 60) + 20 * 3 * 8
    assert combine.bytes == 2 * 12 * (20 + 60) + 20 * 3 * 8


def test_what_is_dropped_is_not_moved():
    full = MoeDispatch(**SMALL, routing="uniform", capacity_factor=0.5)
    work = full.work(0)
    assert work.load.dropped > 0
    assert full.order(0)[1].max() <= full.capacity == 4
    assert work.bytes < MoeDispatch(**SMALL, routing="uniform").work(0).bytes


def test_the_gate_drops_nothing_and_integers_do_not_move():
    with pytest.raises(ValidationError, match="dropped at dispatch"):
        MoeGate(**SMALL, capacity_factor=1.0)
    with pytest.raises(ValidationError, match="for all experts, however many devices"):
        MoeGate(**SMALL, expert_parallel=2)
    with pytest.raises(ValidationError, match="moe_combine has no int8 form"):
        MoeCombine(**{**SMALL, "dtype": "int8"})
