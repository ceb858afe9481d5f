"""Projected inference: phases, memory, and plans that cannot be projected."""

from __future__ import annotations

import pytest

from bench.analysis.inference import InferencePlan, project_inference
from bench.catalog.models import get_model
from bench.errors import UsageError
from tests.analysis.model_rows import H100, MODEL, layer

ROWS = [layer(16, 1e-3), layer(1024, 4e-3, source="a paper")]


def project(chip=H100, rows=ROWS, **plan):
    return project_inference(get_model(MODEL), chip, InferencePlan(**plan), rows)


def test_the_phases_that_were_asked_for():
    served = project(chips=32, prefill=1024, decode=16)
    assert [each.phase for each in served.phases] == ["prefill", "decode"]
    prefill, decode = served.phases
    assert prefill.tokens_per_s.value > decode.tokens_per_s.value
    layers_s = decode.layers_share.value * 16 / decode.tokens_per_s.value
    assert layers_s == pytest.approx(58e-3)
    assert decode.attention_share is None
    assert served.measured.tokens == (16, 1024)
    assert served.measured.sources == ("a paper", "a.csv")


def test_attention_takes_its_share_and_its_memory():
    served = project(chips=32, decode=16, context=4096)
    assert 0 < served.phases[0].attention_share.value < 1
    assert served.cache_bytes_per_sequence == 4096 * 70272
    assert served.cache_gb == pytest.approx(16 * 4096 * 70272 / 1e9)
    given = project(chips=32, decode=16, context=4096, kv_bytes=1000)
    assert given.cache_bytes_per_sequence == 4096 * 1000


@pytest.mark.parametrize("chips", [32, 64, 2048])
def test_experts_are_spread_over_the_chips_that_share_them(chips):
    served = project(chips=chips, decode=16)
    assert served.measured.expert_parallel == 32
    assert served.experts_gb == pytest.approx(58 * 256 * 3 * 7168 * 2048 * 2 / 32 / 1e9)
    others = 671e9 * 2 / 1e9 - 32 * served.experts_gb
    assert served.weights_gb == pytest.approx(served.experts_gb + others)
    assert served.fits is True


def test_prompts_of_a_step_are_in_memory_whole():
    served = project(chips=32, prefill=1000, context=300)
    assert served.cache_gb == pytest.approx(4 * 300 * 70272 / 1e9)


def test_a_chip_of_unknown_memory_neither_fits_nor_does_not():
    chip = H100.model_copy(update={"memory_gb": None})
    assert project(chip, chips=32, decode=16).fits is None


def test_shares_keep_within_one_whatever_the_interval():
    wide = [layer(16, 1e-3, ci_low_s=1e-4, ci_high_s=1e-1)]
    share = project(rows=wide, chips=32, decode=16).phases[0].layers_share
    assert 0 < share.low < share.value < share.high < 1


def test_the_rows_of_one_deployment_are_taken_and_named():
    rows = [
        layer(16, 1e-3, expert_parallel=1),
        layer(16, 2e-3, expert_parallel=64),
        layer(16, 3e-3, params={"device": "hottest"}),
        layer(16, 4e-3, params={"device": "mean"}),
    ]
    measured = project(rows=rows, chips=32, decode=16).measured
    assert (measured.expert_parallel, measured.device) == (32, "hottest")
    assert project(rows=rows, chips=64, decode=16).measured.device == "hottest"
    assert project(rows=rows[::3], chips=32, decode=16).measured.device == "mean"


def test_rows_that_cover_the_tokens_go_before_preferred_ones():
    rows = [*ROWS, layer(16, 1e-3, kernel="moe_layer")]
    assert project(rows=rows, chips=32, decode=16).measured.kernel == "moe_layer"
    assert project(rows=rows, chips=32, decode=64).measured.kernel == "moe_experts"


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"decode": 16, "kv_bytes": 9}, "--kv-bytes: needs --context"),
        (
            {"decode": 8},
            "was measured from 16 to 1024 tokens per chip, not at 8; measure it on one",
        ),
        ({"decode": 8}, r"expert_parallel: 32, pass: forward, tokens: \[8\]"),
        ({"decode": 16, "dtype": "int8"}, f"no row of {MODEL} on 32 × h100-sxm in int8; measure"),
        ({"decode": 16, "dtype": "int9"}, "--dtype: unknown number format 'int9'"),
        ({"decode": 16, "chips": 16}, "does not fit: each of 16 chips has 80 GB for"),
        ({"decode": 64, "context": 4096}, "at most 17 sequences of this length fit"),
        ({"decode": 16, "context": 10**6}, "; no number of chips does"),
    ],
)
def test_plans_that_cannot_be_projected(plan, message):
    with pytest.raises(UsageError, match=message):
        project(**{"chips": 32, **plan})


def test_rows_of_chips_without_room_for_the_cache_are_refused():
    with pytest.raises(UsageError) as caught:
        project(chips=64, decode=64, context=4096)
    assert "as measured, each of 32 chips has 80 GB for 40.87 GB" in str(caught.value)
    assert "18.42 GB of keys and values; measure" in str(caught.value)
    assert "expert_parallel: 64, pass: forward, tokens: [64]" in str(caught.value)


def test_rows_of_another_deployment_are_refused_with_the_command():
    with pytest.raises(UsageError) as caught:
        project(rows=[layer(16, 1e-3, expert_parallel=1)], chips=64, decode=16, context=4096)
    reason, command = str(caught.value).splitlines()
    assert "as measured, 1 chip has 80 GB for 1308 GB of routed experts" in reason
    assert "expert_parallel: 32, pass: forward, tokens: [16]" in command
    assert command.endswith("bench run layers.yaml -o layers.csv")
