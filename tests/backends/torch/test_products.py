"""Products and memory operations by every torch implementation on the processor."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels.grouped_matmul import GroupedMatmul
from bench.kernels.matmul import Matmul
from bench.kernels.memory import Memory
from bench.kernels.moe.layer import MoeLayer
from tests.backends.torch.implementations import BACKEND, DEVICE, assert_all_right, run_all


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


def test_rowwise_scales_are_undone_where_they_belong():
    case = Matmul(dtype="float8_e4m3", layout="nt", m=48, n=32, k=64)
    assert run_all(case)["rowwise"].passed
    from backends.torch.rowwise import stored

    x = torch.randn(6, 16).to(torch.float8_e4m3fn)
    y, scale = stored(x)
    assert torch.equal(y.float() * scale, x.float()), "powers of two are exact"
    assert len(scale.unique()) == 4, "rows differ, so that a wrong row is found"


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


@pytest.mark.parametrize("operation", ["copy", "read", "triad"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_memory(operation, dtype):
    assert_all_right(Memory(operation=operation, dtype=dtype, size_mib=1))


@pytest.mark.parametrize("inputs", ["zeros", "constant"])
def test_other_inputs(inputs):
    assert_all_right(Matmul(dtype="float32", m=8, n=8, k=8, inputs=inputs))
    assert_all_right(
        MoeLayer(
            dtype="float32", hidden=8, intermediate=8, experts=4, top_k=2, tokens=5, inputs=inputs
        )
    )


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
