"""Names of cases: in full, under headings, of kernels that are not installed, and of odd rows."""

from __future__ import annotations

import json

import pytest

from bench.text.naming import (
    case_name,
    case_shape,
    dtype_and_size,
    dtype_and_variant,
    layer_name,
    variant,
    with_stage,
)
from tests.results.conftest import make_row


def test_a_name_omits_its_heading():
    row = make_row(64)
    shape = case_shape(row)
    assert case_name(row) == f"matmul bf16 {shape}"
    assert dtype_and_variant(row, shape) == f"bf16 {variant(row, shape)}"
    assert shape.startswith("64×")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "S"),
        ({"implementation": None}, "S"),
        ({"implementation": "triton"}, "S (triton)"),
        ({"cache": "hot", "timing": "graph"}, "S hot graph"),
    ],
)
def test_a_variant_names_what_is_unusual(changes, expected):
    row = {
        "kernel": "matmul",
        "implementation": "torch",
        "cache": "cold",
        "timing": "events",
    } | changes
    assert variant(row, "S") == expected


def test_a_kernel_that_is_not_installed_is_named_by_its_parameters():
    params = {"m": 2, "n": 3, "k": 4, "dtype": "int8", "pass": "forward", "blocks": 5}
    row = {"kernel": "sparse", "dtype": "int8", "model": None, "params": json.dumps(params)}
    assert case_name(row) == "sparse i8 2×3×4 blocks=5"
    params["pass"] = "backward"
    assert case_shape({**row, "params": json.dumps(params)}) == "2×3×4 pass=backward blocks=5"


def test_names_have_no_control_characters():
    row = {"kernel": "\x1b[31mred", "dtype": "int8", "model": "a\nb", "params": "{}"}
    assert case_name(row) == " [31mred i8 a b"


def test_stages_follow_their_case():
    assert with_stage("moe", {"stage": "gate"}) == "moe, gate"
    assert with_stage("moe", {"stage": None}) == with_stage("moe", {}) == "moe"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"item": "GPT-4o"}, "GPT-4o"),
        ({"dtype": "bfloat16", "m": 1, "n": 2, "k": 3}, "bf16 1×2×3"),
        ({"dtype": "odd", "case_id": "memory-odd-1"}, "memory-odd-1"),
        (
            {
                "dtype": "int8",
                "tokens": 8,
                "model": "deepseek-v3",
                "routing": None,
                "expert_parallel": 8,
            },
            "i8 deepseek-v3/8 8 tokens",
        ),
        (
            {
                "dtype": "int8",
                "tokens": 8,
                "model": None,
                "routing": "balanced",
                "experts": 4,
                "hidden": 16,
                "intermediate": 32,
                "expert_parallel": 1,
            },
            "i8 4×16×32 8 tokens balanced",
        ),
    ],
)
def test_rows_of_evidence(row, expected):
    assert dtype_and_size(row) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "deepseek-v3"),
        ({"expert_parallel": 32}, "deepseek-v3/32"),
        ({"expert_parallel": None}, "deepseek-v3"),
        ({"model": float("nan")}, "4×16×32"),
    ],
)
def test_layers_by_model_or_shape_and_spread(changes, expected):
    shape = {"experts": 4, "hidden": 16, "intermediate": 32}
    row = {"model": "deepseek-v3", "expert_parallel": 1, **shape, **changes}
    assert layer_name(row) == expected
