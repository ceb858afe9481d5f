"""Memory of the chips that share a model, and the command that measures what is missing."""

from __future__ import annotations

import shlex

import pytest

from bench.analysis.deployment import (
    Deployment,
    bytes_each,
    measure_text,
    refusal,
    routed_parameters,
    total_size,
)
from bench.analysis.layers import measured_layers
from bench.catalog.models import get_model, load_models
from bench.config.load import load_config
from bench.errors import UsageError
from tests.analysis.model_rows import MODEL, layer

ROUTED = 58 * 256 * 3 * 7168 * 2048
REST = 671e9 - ROUTED


def deployment(chips=None, *, name=MODEL, dtype="bfloat16", gb=80.0):
    return Deployment(get_model(name), dtype, "h100-sxm", gb, chips)


def test_each_chip_has_its_share_of_the_experts_and_all_other_weights():
    assert routed_parameters(get_model(MODEL)) == ROUTED
    memory = deployment().memory(32, cache_bytes=3e9)
    assert memory.experts_gb == pytest.approx(ROUTED * 2 / 32 / 1e9)
    assert memory.rest_gb == pytest.approx(REST * 2 / 1e9)
    assert memory.weights_gb == pytest.approx(75.05, abs=0.01)
    assert (memory.cache_gb, memory.fits) == (3.0, True)


@pytest.mark.parametrize(
    ("chips", "dtype", "gb", "sharing"),
    [
        (None, "bfloat16", 80.0, 32),
        (32, "bfloat16", 80.0, 32),
        (16, "bfloat16", 80.0, None),
        (2048, "bfloat16", 80.0, 32),
        (48, "bfloat16", 80.0, None),  # 48 and 256 experts have no common divisor beyond 16
        (None, "float8_e4m3", 80.0, 16),
        (None, "bfloat16", 30.0, None),  # less than what every chip has to hold
        (None, "bfloat16", None, 1),
    ],
)
def test_the_fewest_chips_that_hold_a_model(chips, dtype, gb, sharing):
    assert deployment(chips, dtype=dtype, gb=gb).smallest_sharing() == sharing


@pytest.mark.parametrize(
    ("chips", "gb", "sequences", "message"),
    [
        (8, 80.0, 0, "each of 8 chips has 80 GB for 163.5 GB of routed experts"),
        (8, 80.0, 0, "; a multiple of 32 chips does"),
        (32, 80.0, 64, r"64 chips does, or at most 17 sequences of this length fit"),
        (32, 30.0, 0, "; no number of chips does"),
        (1, 80.0, 0, "1 chip has 80 GB for 1308 GB of routed experts"),
    ],
)
def test_chips_that_do_not_hold_a_model(chips, gb, sequences, message):
    with pytest.raises(UsageError, match=message):
        deployment(chips, gb=gb).check_memory(sequences, 4096 * 70272)


def test_a_model_that_fits_and_one_that_nobody_knows():
    deployment(32).check_memory(17, 4096 * 70272)
    deployment(1, gb=None).check_memory()


def of_rows(*rows):
    return measured_layers(rows, get_model(MODEL), "h100-sxm", "bfloat16")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no row of deepseek-v3 on 32 × h100-sxm in bfloat16"),
        ([1], "as measured, 1 chip has 80 GB for"),
        ([8], "as measured, each of 8 chips has 80 GB for"),
        ([64, 128], "the experts are on 64, 128 chips, which do not divide 32"),
    ],
)
def test_why_rows_are_not_of_a_deployment(rows, message):
    layers = of_rows(*(layer(16, 1e-3, expert_parallel=count) for count in rows))
    assert message in refusal(layers, deployment(32))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3", "int8"])
@pytest.mark.parametrize("name", load_models())
def test_the_suggested_command_is_one_that_runs(name, dtype, tmp_path, monkeypatch):
    """Its first part writes a config; that config has the cases that were asked for."""
    monkeypatch.chdir(tmp_path)
    sharing = next(n for n in range(2, 999) if get_model(name).experts % n == 0)
    text = measure_text(deployment(name=name, dtype=dtype), [8192, 64, 64], sharing)
    echo, run = text.splitlines()[1].split(" && ")
    words = shlex.split(echo)
    assert (words[0], words[2:]) == ("echo", [">", "layers.yaml"])
    (tmp_path / "layers.yaml").write_text(words[1])
    assert shlex.split(run)[:3] == ["bench", "run", "layers.yaml"]
    product, *kernels = [case.kernel for case in load_config("layers.yaml").cases]
    assert (product.name, product.dtype) == ("matmul", dtype)
    assert [kernel.tokens for kernel in kernels] == [64, 8192]
    assert {kernel.expert_parallel for kernel in kernels} == {sharing}


def test_what_no_kernel_measures_is_said():
    text = measure_text(deployment(dtype="float4_e2m1"), [64], 32)
    assert (
        text == "`bench run` cannot measure it: kernels[1].dtype: moe_layer has no float4_e2m1 form"
    )


@pytest.mark.parametrize(
    ("dtype", "size"), [("bfloat16", 2), ("float8_e4m3", 1), ("float4_e2m1", 0.5625)]
)
def test_bytes_of_a_weight_with_its_part_of_a_scale(dtype, size):
    assert bytes_each(dtype) == size


def test_a_format_that_no_kernel_has():
    with pytest.raises(UsageError, match=r"--dtype: unknown number format 'bfloat61'.*'bfloat16'"):
        bytes_each("bfloat61")


def test_all_parameters_are_published_or_else_counted():
    assert total_size(get_model(MODEL)) == 671e9
    nobody = get_model(MODEL).model_copy(update={"total_params_b": None})
    assert total_size(nobody) == pytest.approx(671e9, rel=1e-3)


@pytest.mark.parametrize("name", load_models())
def test_experts_are_a_part_of_every_model(name):
    model = get_model(name)
    assert 0 < routed_parameters(model) < total_size(model)
