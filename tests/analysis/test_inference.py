"""Projected inference: phases, memory, and plans that cannot be projected."""

from __future__ import annotations

import pytest

from bench.analysis.inference import InferencePlan, project_inference
from bench.catalog.chips import get_chip
from bench.catalog.models import get_model
from bench.errors import UsageError
from tests.analysis.model_rows import MODEL, layer

ROWS = [layer(16, 1e-3), layer(1024, 4e-3, source="a paper")]


def project(chip=None, **plan):
    return project_inference(
        MODEL, get_model(MODEL), chip or get_chip("h100-sxm"), InferencePlan(**plan), ROWS
    )


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


@pytest.mark.parametrize(("chips", "fits"), [(32, True), (8, False)])
def test_weights_are_spread_over_the_chips(chips, fits):
    served = project(chips=chips, decode=16)
    assert served.weights_gb == pytest.approx(671e9 * 2 / chips / 1e9)
    assert served.fits is fits


def test_a_chip_of_unknown_memory_neither_fits_nor_does_not():
    chip = get_chip("h100-sxm").model_copy(update={"memory_gb": None})
    assert project(chip, chips=8, decode=16).fits is None


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"decode": 16, "kv_bytes": 9}, "--kv-bytes: needs --context"),
        ({"decode": 8}, "was measured from 16 to 1024 tokens a device, not at 8"),
        ({"decode": 16, "dtype": "int8"}, f"no row of {MODEL} on h100-sxm in int8"),
    ],
)
def test_plans_that_cannot_be_projected(plan, message):
    with pytest.raises(UsageError, match=message):
        project(chips=8, **plan)
