"""The configs that ship: all load, and hold what their names promise."""

import pytest

from bench.config import load_config, shipped_configs

NAMES = {"smoke", "matmul", "memory", "moe-deepseek-v3", "moe-pangu-ultra", "full"}


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
