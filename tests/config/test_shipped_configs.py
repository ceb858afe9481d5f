"""The configs that ship: all load, and hold what their names promise."""

import pytest

from bench.config.load import load_config, shipped_configs

NAMES = {"smoke", "matmul", "memory", "moe-deepseek-v3", "moe-parts", "moe-pangu-ultra", "full"}


def test_what_ships():
    assert set(shipped_configs()) >= NAMES
    assert all(shipped_configs().values()), "each has a description"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_loads(name):
    assert load_config(name).cases


def test_full_holds_the_others():
    full = {case.case_id for case in load_config("full").cases}
    for name in NAMES - {"smoke", "full"}:
        assert {case.case_id for case in load_config(name).cases} <= full


@pytest.mark.parametrize(("name", "hidden"), [("deepseek-v3", 7168), ("pangu-ultra", 7680)])
def test_moe_configs_have_decode_prefill_and_skew(name, hidden):
    kernels = [case.kernel for case in load_config(f"moe-{name}").cases]
    assert {kernel.hidden for kernel in kernels} == {hidden}
    tokens = {kernel.tokens for kernel in kernels}
    assert min(tokens) == 1
    assert max(tokens) >= 4096
    assert {kernel.routing for kernel in kernels} == {"balanced", "uniform", "power_law"}


def test_moe_parts_has_every_kernel_of_a_layer():
    kernels = [case.kernel for case in load_config("moe-parts").cases]
    assert {kernel.name for kernel in kernels} == {
        "grouped_matmul",
        "moe_combine",
        "moe_dispatch",
        "moe_gate",
        "moe_layer",
    }
    layers = [kernel for kernel in kernels if kernel.name == "moe_layer"]
    assert {(layer.dtype, layer.backward) for layer in layers} == {
        ("int8", False),
        ("float8_e4m3", False),
        ("bfloat16", True),
    }
