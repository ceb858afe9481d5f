"""Every torch implementation on the processor, held against the kernels' references."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backends.cpu import CpuBackend
from backends.torch.moe import float8, int8
from backends.torch.operands import MOST_INPUT_SETS, input_sets, to_device, to_host
from backends.torch.prepared import TorchPrepared
from bench.backend import Device
from bench.errors import OutOfMemory, Unsupported
from bench.kernels.grouped_matmul import GroupedMatmul
from bench.kernels.matmul import Matmul
from bench.kernels.memory import Memory
from bench.kernels.moe.layer import MoeLayer
from bench.kernels.moe.parts import MoeCombine, MoeDispatch, MoeGate
from bench.results.columns import STAGES

BACKEND = CpuBackend()
DEVICE = Device(index=0, name="test", chip="test", cache_bytes=None)


def run_all(case, seed=0):
    """Return the verification of each implementation that takes the case."""
    found = {}
    for name in BACKEND.implementations(case.name):
        # Compiling takes seconds; tests/backends/test_compiled.py has its own cases.
        if name != "compiled" and BACKEND.unsupported(case, name, DEVICE) is None:
            inputs = case.make_inputs(seed)
            prepared = BACKEND.prepare(case, name, DEVICE, inputs)
            found[name] = case.verify(inputs, prepared.outputs(), seed)
            assert prepared.run(2) > 0
            again = case.verify(inputs, prepared.outputs(), seed)
            assert again == found[name], "running must not change what is computed"
            prepared.close()
    return found


def assert_all_right(case, seed=0):
    found = run_all(case, seed)
    assert found
    for name, check in found.items():
        assert check.passed, (name, check)


@settings(max_examples=40)
@given(
    dtype=st.sampled_from(["float64", "float32", "float16", "bfloat16"]),
    layout=st.sampled_from(["nn", "nt", "tn", "tt"]),
    m=st.integers(1, 40),
    n=st.integers(1, 40),
    k=st.integers(1, 70),
    batch=st.integers(1, 3),
)
def test_products(dtype, layout, m, n, k, batch):
    assert_all_right(Matmul(dtype=dtype, layout=layout, m=m, n=n, k=k, batch=batch))


@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
def test_integer_products(layout):
    assert_all_right(Matmul(dtype="int8", layout=layout, m=40, n=48, k=64))


def test_float8_products():
    assert_all_right(Matmul(dtype="float8_e4m3", layout="nt", m=32, n=48, k=64))


@pytest.mark.parametrize("inputs", ["zeros", "constant"])
def test_other_inputs(inputs):
    assert_all_right(Matmul(dtype="float32", m=8, n=8, k=8, inputs=inputs))
    assert_all_right(
        MoeLayer(
            dtype="float32", hidden=8, intermediate=8, experts=4, top_k=2, tokens=5, inputs=inputs
        )
    )


@pytest.mark.parametrize("operation", ["copy", "read", "triad"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_memory(operation, dtype):
    assert_all_right(Memory(operation=operation, dtype=dtype, size_mib=1))


@settings(max_examples=60)
@given(
    dtype=st.sampled_from(["float64", "float32", "float16", "bfloat16"]),
    # Rounding is judged as a random walk; sums of two or three terms may cancel to nothing.
    hidden=st.integers(17, 60),
    intermediate=st.integers(9, 40),
    tokens=st.integers(1, 50),
    groups=st.integers(1, 4),
    group_size=st.integers(1, 6),
    topk_groups=st.integers(1, 4),
    devices=st.sampled_from([1, 2, 3]),
    top_k=st.integers(1, 24),
    shared_experts=st.integers(0, 2),
    expert_hidden=st.sampled_from([None, 19, 32]),
    gated=st.booleans(),
    activation=st.sampled_from(["silu", "gelu", "relu2", "swigluoai"]),
    gate=st.sampled_from(["softmax", "sigmoid", "sqrt_softplus"]),
    correction_bias=st.booleans(),
    normalize=st.booleans(),
    routing=st.sampled_from(["uniform", "power_law"]),
    capacity_factor=st.sampled_from([None, None, 0.5, 1.0]),
    backward=st.booleans(),
    seed=st.integers(0, 99),
)
def test_layers(
    groups, group_size, topk_groups, devices, top_k, gated, activation, backward, seed, **more
):
    experts = groups * group_size * devices
    assume(topk_groups <= groups and top_k <= topk_groups * (experts // groups))
    assume(gated or activation != "swigluoai")
    case = MoeLayer(
        experts=experts,
        groups=groups,
        topk_groups=topk_groups,
        top_k=top_k,
        expert_parallel=devices,
        gated=gated,
        activation=activation,
        **more,
        **{"pass": "forward_backward" if backward else "forward"},
    )
    assert_all_right(case, seed)


@pytest.mark.parametrize(
    ("more", "seed"),
    [
        ({"dtype": "float64", "intermediate": 18, "groups": 2, "topk_groups": 1}, 71),
        ({"dtype": "float32", "intermediate": 9, "expert_parallel": 3}, 0),
    ],
)
def test_a_gradient_of_the_gate_that_cancels(more, seed):
    # The weight's gradient is a sum of 17 products of which 1 % is left, at a sigmoid of 0.95.
    layer = {"hidden": 17, "experts": 6, "top_k": 1, "tokens": 1, "routing": "power_law"}
    gate = {"gated": False, "gate": "sigmoid", "normalize": False, "pass": "forward_backward"}
    assert_all_right(MoeLayer(**layer, **gate, **more), seed)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("more", [{}, {"gated": False}, {"expert_hidden": 64, "shared_experts": 1}])
def test_gradients_by_every_implementation(dtype, more):
    shape = {"hidden": 96, "intermediate": 64, "experts": 8, "top_k": 3, "tokens": 50}
    case = MoeLayer(dtype=dtype, routing="uniform", **{**shape, **more, "pass": "forward_backward"})
    found = run_all(case)
    assert all(check.passed for check in found.values()), found
    assert set(found) == ({"loop", "grouped"} if dtype == "bfloat16" else {"loop"})


@settings(max_examples=30)
@given(
    hidden=st.integers(33, 120),
    intermediate=st.integers(33, 120),
    tokens=st.integers(1, 40),
    top_k=st.integers(1, 6),
    expert_hidden=st.sampled_from([None, 48]),
    shared_experts=st.integers(0, 1),
    gated=st.booleans(),
    routing=st.sampled_from(["balanced", "uniform", "power_law"]),
    capacity_factor=st.sampled_from([None, 0.5]),
    seed=st.integers(0, 99),
)
def test_layers_in_int8(seed, **parameters):
    assert_all_right(MoeLayer(dtype="int8", experts=6, **parameters), seed)


@settings(max_examples=30)
@given(
    hidden=st.sampled_from([32, 80, 128]),
    intermediate=st.sampled_from([16, 48, 96]),
    tokens=st.integers(1, 40),
    top_k=st.integers(1, 6),
    expert_hidden=st.sampled_from([None, 64]),
    shared_experts=st.integers(0, 1),
    gated=st.booleans(),
    routing=st.sampled_from(["balanced", "uniform", "power_law"]),
    capacity_factor=st.sampled_from([None, 0.5]),
    seed=st.integers(0, 99),
)
def test_layers_in_float8(seed, **parameters):
    assert_all_right(MoeLayer(dtype="float8_e4m3", experts=6, **parameters), seed)


def grouped_product_in_float32(rows, scales, weights, weight_scales, ends):
    """Return what torch's grouped float8 product is documented to: each operand times its scales."""
    product = torch.empty((len(rows), weights.shape[1]))
    start = 0
    for matrix, channel, end in zip(weights, weight_scales, ends.tolist(), strict=True):
        product[start:end] = (rows[start:end].float() * scales[start:end]) @ (
            matrix.float() * channel
        ).T
        start = end
    assert start == len(rows)
    return product.to(torch.bfloat16)


@pytest.mark.parametrize("more", [{}, {"gated": False}, {"expert_hidden": 64, "shared_experts": 1}])
def test_the_grouped_float8_layer_around_its_product(monkeypatch, more):
    """Processors have no such product: it is emulated, and all around it is what runs on a GPU."""
    monkeypatch.setattr(float8, "grouped_product", grouped_product_in_float32)
    shape = {"hidden": 96, "intermediate": 48, "experts": 8, "top_k": 3, "tokens": 30}
    case = MoeLayer(dtype="float8_e4m3", routing="power_law", **{**shape, **more})
    inputs = case.make_inputs(0)
    operands = {name: to_device(one, torch.device("cpu")) for name, one in inputs.items()}
    with torch.inference_mode():
        y = float8.Float8Grouped().build(case, operands)()["y"]
    check = case.verify(inputs, {"y": to_host(y)}, 0)
    assert check.passed, check


def test_torch_takes_the_grouped_float8_product_as_it_is_called():
    meta = torch.device("meta")
    product = float8.grouped_product(
        torch.empty((30, 64), dtype=torch.float8_e4m3fn, device=meta),
        torch.empty((30, 1), device=meta),
        torch.empty((4, 48, 64), dtype=torch.float8_e4m3fn, device=meta),
        torch.empty((4, 48, 1), device=meta),
        torch.empty(4, dtype=torch.int32, device=meta),
    )
    assert (product.shape, product.dtype) == ((30, 48), torch.bfloat16)


@pytest.mark.parametrize(
    ("implementation", "name"), [(int8.Int8, "int8"), (float8.Float8, "float8")]
)
def test_a_quantized_layer_that_forgets_the_channels_scales_is_found(
    monkeypatch, implementation, name
):
    right = implementation.linear

    class Forgetful(right):
        def __init__(self, weight, scale):
            super().__init__(weight, scale.mean().expand(scale.shape).contiguous())

    monkeypatch.setattr(implementation, "linear", Forgetful)
    shape = {"hidden": 128, "intermediate": 64, "experts": 4, "top_k": 2, "tokens": 32}
    case = MoeLayer(dtype=implementation.dtype, **shape)
    assert not run_all(case)[name].passed


@settings(max_examples=30)
@given(
    dtype=st.sampled_from(["float64", "float32", "float16", "bfloat16", "int8"]),
    m=st.integers(1, 60),
    n=st.integers(17, 40),
    k=st.integers(17, 70),
    experts=st.integers(1, 9),
    routing=st.sampled_from(["balanced", "uniform", "power_law"]),
)
def test_grouped_products(**parameters):
    assert_all_right(GroupedMatmul(**parameters))


def test_grouped_products_that_torch_groups():
    case = GroupedMatmul(dtype="bfloat16", m=50, n=32, k=64, experts=7, routing="power_law")
    assert set(run_all(case)) == {"loop", "grouped"}
    assert_all_right(case)


@settings(max_examples=30)
@given(
    kernel=st.sampled_from([MoeGate, MoeDispatch, MoeCombine]),
    dtype=st.sampled_from(["float64", "float32", "float16", "bfloat16"]),
    hidden=st.integers(17, 70),
    tokens=st.integers(1, 50),
    experts=st.sampled_from([4, 12]),
    top_k=st.integers(1, 4),
    expert_parallel=st.sampled_from([1, 2]),
    capacity=st.sampled_from([None, 0.5]),
    routing=st.sampled_from(["balanced", "uniform", "power_law"]),
)
def test_what_moves_tokens(kernel, capacity, **parameters):
    if kernel is not MoeGate:
        parameters["capacity_factor"] = capacity
    assert_all_right(kernel(**parameters))


@pytest.mark.parametrize("name", ["loop", "grouped", "packed", "fused"])
def test_stages_add_up_to_the_layer(name):
    case = MoeLayer(
        dtype="bfloat16",
        hidden=128,
        intermediate=64,
        experts=8,
        top_k=2,
        tokens=64,
        shared_experts=1,
    )
    if BACKEND.unsupported(case, name, DEVICE) is not None:
        pytest.skip(BACKEND.unsupported(case, name, DEVICE))
    prepared = BACKEND.prepare(case, name, DEVICE, case.make_inputs(0))
    stages = prepared.stages(20)
    apart = [stage for stage in STAGES if name != "fused" or stage != "activation"]
    assert list(stages) == apart
    assert all(seconds > 0 for seconds in stages.values())
    times = []

    class Listening:
        timing = "host"
        now = staticmethod(BACKEND.timer(DEVICE).now)
        between = staticmethod(BACKEND.timer(DEVICE).between)

        def __call__(self, steps):
            times.append(BACKEND.timer(DEVICE)(steps))
            return times[-1]

    prepared._clock._timer = Listening()
    parts = sum(prepared.stages(50).values())
    assert 0.8 * times[0] < parts < times[0], "nothing is left out but the calls themselves"


def test_a_step_with_gradients_has_no_stages():
    shape = {"dtype": "float32", "hidden": 8, "intermediate": 8, "experts": 4}
    case = MoeLayer(**shape, top_k=1, tokens=1, **{"pass": "forward_backward"})
    assert BACKEND.prepare(case, "loop", DEVICE, case.make_inputs(0)).stages(1) is None


def test_all_tokens_to_all_experts_and_one_token_only():
    shape = {"dtype": "float32", "hidden": 8, "intermediate": 8, "experts": 4}
    assert_all_right(MoeLayer(**shape, top_k=4, tokens=7))
    assert_all_right(MoeLayer(**shape, top_k=1, tokens=1))


def test_a_wrong_implementation_is_found(monkeypatch):
    """A layer that forgets the gate's weights is fast, plausible, and wrong."""
    from backends.torch.moe import loop

    right = loop.choose

    def forgetful(case, operands):
        weight, chosen = right(case, operands)
        return torch.ones_like(weight) / weight.shape[1], chosen

    monkeypatch.setattr(loop, "choose", forgetful)
    case = MoeLayer(
        dtype="bfloat16", hidden=64, intermediate=32, experts=8, top_k=2, tokens=16, scaling=2.5
    )
    assert not run_all(case)["loop"].passed


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Matmul(dtype="tf32", m=8, n=8, k=8), "format of accelerators"),
        (Matmul(dtype="int8", m=8, n=8, k=8, batch=2), "no batched int8"),
        (Matmul(dtype="float8_e4m3", m=16, n=16, k=16), "layout nt only"),
        (Matmul(dtype="float8_e4m3", m=16, n=17, k=16, layout="nt"), "multiples of 16"),
    ],
)
def test_what_is_not_supported_says_why(case, reason):
    assert reason in BACKEND.unsupported(case, "torch", DEVICE)


def test_an_unknown_implementation_names_the_known_ones():
    with pytest.raises(Unsupported, match=r"known: .*torch"):
        BACKEND.unsupported(Matmul(dtype="float32", m=1, n=1, k=1), "trch", DEVICE)


def test_a_case_beyond_the_memory_is_refused_before_it_allocates():
    case = Matmul(dtype="float32", m=1 << 20, n=1 << 20, k=1)
    with pytest.raises(OutOfMemory, match=r"needs 4096\.0 GiB"):
        BACKEND.prepare(case, "torch", DEVICE, {})


@pytest.mark.parametrize(
    ("size", "cache", "free", "sets"),
    [
        (10, None, 1000, 1),
        (10, 50, 1000, 10),
        (10, 50, 200, 5),
        (1000, 50, 10_000, 1),
        (3, 50, None, 34),
        (1, 1 << 40, None, MOST_INPUT_SETS),
    ],
)
def test_cold_sets_pass_twice_the_cache_within_a_quarter_of_memory(size, cache, free, sets):
    assert input_sets(size, cache, free) == sets


def test_a_cold_case_takes_its_sets_in_turn_and_a_hot_one_has_one():
    case = Matmul(dtype="float32", m=16, n=16, k=16)
    device = Device(index=0, name="t", chip="t", cache_bytes=10 * case.memory_bytes())
    seen = []

    class Spy:
        timing = "host"

        def __call__(self, steps):
            # The last step is wrapped, so that its outputs are remembered.
            *first, last = steps
            seen.extend(id(step) for step in (*first, last.args[0]))
            return 1.0

    for cache, sets in (("cold", 20), ("hot", 1)):
        chosen = case.model_copy(update={"cache": cache})
        prepared = BACKEND.prepare(chosen, "torch", device, chosen.make_inputs(0))
        assert isinstance(prepared, TorchPrepared)
        assert prepared.flush_bytes == (20 * case.memory_bytes() if cache == "cold" else 0)
        prepared._timer = Spy()
        seen.clear()
        for loops in (1, 7, 32):
            prepared.run(loops)
        assert len(set(seen)) == sets
        assert all(a != b for a, b in pairwise(seen)) or sets == 1


def test_the_processors_rows_are_verified_against_its_own_limits():
    limits = BACKEND.limits(BACKEND.devices()[0], "float32")
    assert limits.peak_tflops > 0.01
    assert "measured" in limits.peak_source
    assert 1 < limits.ceiling_gbps < 5000
    assert 1e-8 < limits.launch_s < 1e-3
    assert np.isfinite(limits.peak_tflops)


def test_rowwise_scales_are_undone_where_they_belong():
    case = Matmul(dtype="float8_e4m3", layout="nt", m=48, n=32, k=64)
    assert run_all(case)["rowwise"].passed
    from backends.torch.rowwise import stored

    x = torch.randn(6, 16).to(torch.float8_e4m3fn)
    y, scale = stored(x)
    assert torch.equal(y.float() * scale, x.float()), "powers of two are exact"
    assert len(scale.unique()) == 4, "rows differ, so that a wrong row is found"
