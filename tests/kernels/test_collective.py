"""collective: payloads, what each rank has to receive, and wrong elements noticed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.kernels.collective import EXACT_UP_TO, IN_PLACE, PERIOD, SUMMED, Collective
from bench.kernels.dtypes import quantize

OPERATIONS = Collective.model_fields["operation"].annotation.__args__


def collective(operation, ranks, size, **more):
    if operation == "send_recv":
        more = {"sender": 0, "receiver": 1, **more}
    return Collective(operation=operation, world_size=ranks, size_bytes=size, **more)


def executed(case, seed=0):
    """Return each rank's output, computed from all payloads as the operation is defined."""
    sent = [case.payload(rank, seed) for rank in range(case.ranks)]
    n = case.ranks
    if case.operation == "all_reduce":
        return [sum(sent)] * n
    if case.operation == "reduce_scatter":
        return np.split(sum(sent), n)
    if case.operation == "all_gather":
        return [np.concatenate(sent)] * n
    if case.operation == "broadcast":
        return [sent[0]] * n
    if case.operation == "send_recv":
        nothing = np.empty(0, np.float32)
        return [sent[case.sender] if rank == case.receiver else nothing for rank in range(n)]
    cuts = np.cumsum(case.send_counts())[:-1]
    chunks = [np.split(each, cuts) for each in sent]
    return [np.concatenate([chunks[source][rank] for source in range(n)]) for rank in range(n)]


@given(
    operation=st.sampled_from(OPERATIONS),
    ranks=st.integers(2, 9),
    size=st.one_of(st.integers(72, 4000), st.just(5 * PERIOD * 4 + 12)),
)
def test_what_an_operation_computes_passes(operation, ranks, size):
    case = collective(operation, ranks, size)
    outputs = executed(case)
    for rank, output in enumerate(outputs):
        assert case.check(rank, output, 0).wrong == 0
        assert len(output) == sum(part.count for part in case.parts(rank))
    assert case.memory_bytes() == 4 * (case.sent_elements() + max(map(len, outputs)))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_one_wrong_element_is_found(operation):
    case = collective(operation, 4, 1 << 20)
    rank = 1
    output = executed(case)[rank].copy()
    place = len(output) * 2 // 3
    right = output[place]
    output[place] += 1
    check = case.check(rank, output, 0)
    assert (check.wrong, check.first) == (1, place)
    assert (check.value, check.expected) == (right + 1, right)
    answers = np.zeros((4, 4))
    answers[rank] = check.wrong, check.first, check.value, check.expected
    names = ("wrong", "first", "value", "expected")
    verdict = case.verify({}, dict(zip(names, answers.T, strict=True)), 0)
    assert not verdict.passed
    assert f"rank 1: 1 wrong element; the first is [{place}]" in verdict.explanation


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_was_not_received_or_is_another_ranks_is_found(operation):
    case = collective(operation, 4, 1 << 20)
    output = executed(case)[1]
    assert case.check(1, np.full_like(output, np.nan), 0).wrong == len(output)
    assert case.check(1, np.roll(output, 1), 0).wrong > 0.9 * len(output)
    assert case.check(1, output[:-1], 0).wrong > 0
    assert case.check(1, executed(case, seed=1)[1], 0).wrong > 0.9 * len(output)


@pytest.mark.parametrize("operation", SUMMED)
@pytest.mark.parametrize("dtype", sorted(set(EXACT_UP_TO) - {"float8_e4m3"}))
def test_sums_are_exact_in_every_dtype(operation, dtype):
    case = collective(operation, 8, 1 << 16, dtype=dtype)
    for payload in (case.payload(rank, 0) for rank in range(8)):
        assert np.array_equal(quantize(payload.copy(), dtype), payload)
        assert payload.max() >= 1, "zeros would hide a missing rank"
    total = sum(case.payload(rank, 0) for rank in range(8))
    assert np.array_equal(quantize(total.copy(), dtype), total)


def test_bus_factors_are_those_of_nccl_tests():
    factors = {operation: collective(operation, 4, 1 << 20).bus_factor for operation in OPERATIONS}
    assert factors == {
        "all_reduce": 1.5,
        "all_gather": 0.75,
        "reduce_scatter": 0.75,
        "all_to_all": 0.75,
        "all_to_all_uneven": 0.75,
        "broadcast": 1.0,
        "send_recv": 1.0,
    }


def test_the_size_is_that_of_the_total_array():
    for operation in OPERATIONS:
        case = collective(operation, 3, 1 << 20)
        total = (1 << 18) // 3 * 3 if operation in ("all_gather", "reduce_scatter") else None
        assert case.work(0).bytes == 4 * (total or case.elements)
        assert (1 << 20) - 12 < case.work(0).bytes <= 1 << 20


def test_a_run_decides_the_world_size_and_measures_every_pair():
    (case,) = Collective(operation="all_reduce").for_ranks(4)
    assert case.group_size == 4
    (fixed,) = Collective(operation="all_reduce", world_size=2).for_ranks(4)
    assert fixed.group_size == 2
    pairs = Collective(operation="send_recv").for_ranks(3)
    assert [(pair.sender, pair.receiver) for pair in pairs] == [
        *((0, 1), (0, 2), (1, 0)),
        *((1, 2), (2, 0), (2, 1)),
    ]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"operation": "all_gather", "size_bytes": 12}, "for each of 4 ranks"),
        ({"operation": "all_reduce", "size_bytes": 3}, "one element of float32"),
        ({"operation": "send_recv", "sender": 0, "receiver": 4}, "no rank 4 among 4"),
        ({"operation": "all_reduce", "dtype": "int8", "world_size": 128}, "not exact in int8"),
    ],
)
def test_a_world_size_that_does_not_fit(more, reason):
    case = Collective(**{"world_size": 4, **more})
    assert reason in case.unfit()
    assert case.work(0).bytes >= 1
    assert case.memory_bytes() >= 0
    assert collective("all_to_all", 4, 16).unfit() is None


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"operation": "all_to_all", "in_place": True}, "no in-place form"),
        ({"operation": "all_reduce", "dtype": "float8_e4m3"}, "not exact"),
        ({"operation": "all_reduce", "dtype": "tf32"}, "no tf32 form"),
        ({"operation": "all_reduce", "sender": 0}, "belong to send_recv"),
        ({"operation": "send_recv", "sender": 0}, "neither for every pair"),
        ({"operation": "send_recv", "sender": 1, "receiver": 1}, "to itself"),
        ({"operation": "all_reduce", "graph": True}, "no graph form"),
        ({"operation": "all_reduce", "world_size": 1}, "greater than or equal to 2"),
        ({"operation": "all_reduce", "cache": "cold"}, "hot"),
    ],
)
def test_what_no_collective_can_be(more, reason):
    with pytest.raises(ValidationError, match=reason):
        Collective(**more)


def test_in_place_forms():
    for operation in IN_PLACE:
        assert collective(operation, 2, 64, in_place=True).in_place
