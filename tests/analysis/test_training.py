"""Projected training by hand, and plans that cannot be projected."""

from __future__ import annotations

import pytest

from bench.analysis.estimate import Estimate, exactly
from bench.analysis.training import QUANTITIES, TrainingPlan, project_training
from bench.catalog.models import get_model
from bench.errors import UsageError
from tests.analysis.model_rows import H100, MODEL, layer

GIVEN = {"chips": 32, "utilization": exactly(0.5)}


def project(rows=(), **plan):
    return project_training(get_model(MODEL), H100, TrainingPlan(**plan), rows)


def test_a_rate_is_chips_times_peak_times_utilization_times_efficiency():
    run = project(**GIVEN, efficiency=Estimate(0.8, 0.7, 0.9), tokens=1e12, deadline_days=10)
    rate = 32 * run.peak_tflops * 1e12 * 0.5 * 0.8 / run.flops_per_token
    assert run.flops_per_token == 6 * 37e9
    assert run.tokens_per_s.value == pytest.approx(rate)
    assert run.days.value == pytest.approx(1e12 / rate / 86400)
    assert run.chip_hours.value == pytest.approx(run.days.value * 24 * 32)
    assert run.chips_for_deadline.value == pytest.approx(run.days.value * 32 / 10)
    assert run.days.low < run.days.value < run.days.high


def test_without_tokens_there_is_only_the_rate():
    run = project(**GIVEN)
    assert (run.days, run.chip_hours, run.chips_for_deadline, run.over_published) == (None,) * 4


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_published_quantity_of_the_same_size_gives_one(name):
    run = project(**GIVEN, tokens=1e12)
    own = dict(zip(QUANTITIES, (run.tokens_per_s, run.days, run.chip_hours), strict=True))[name]
    held = project(**GIVEN, tokens=1e12, published=(name, own))
    assert held.over_published.value == pytest.approx(1)


def test_layers_with_gradients_go_before_forward_passes():
    forward = [layer(16, 1e-3, utilization=0.6), layer(64, 1e-3, utilization=0.7)]
    run = project(forward, chips=32)
    assert (run.utilization.value, run.measured.tokens) == (0.7, 64)
    assert (run.measured.passes, run.measured.source) == ("forward", "a.csv")
    both = layer(16, 1e-3, utilization=0.4, source="a paper", **{"pass": "forward_backward"})
    run = project([*forward, both], chips=32)
    assert (run.utilization.value, run.measured.passes) == (0.4, "forward_backward")
    assert run.measured.source == "a paper"


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"chips": 32, "utilization": exactly(1), "dtype": "float4"}, "no peak in float4 is known"),
        ({**GIVEN, "attention_width": 9}, "--attention-width: needs --sequence"),
        ({**GIVEN, "deadline_days": 0.0}, "--days: expected a number from 0.001"),
        ({**GIVEN, "deadline_days": 9.0}, "--days: needs --tokens"),
        ({**GIVEN, "published": ("days", exactly(1))}, "--published days: needs --tokens"),
        ({**GIVEN, "published": ("hours", exactly(1))}, "unknown quantity 'hours'"),
        ({**GIVEN, "deadline_days": 1e-300}, "--days: expected a number from 0.001"),
        ({**GIVEN, "chips": 16}, "16 × h100-sxm with 80 GB do not hold the 1342 GB of weights"),
        ({**GIVEN, "chips": 16}, "expected at least 17"),
        ({"chips": 32}, f"no row of {MODEL}"),
        ({"chips": 32}, r"expert_parallel: 32, pass: forward_backward, tokens: \[4096, 16384\]"),
        ({"chips": 17}, "give --utilization, or a number of chips that has a divisor in common"),
        ({"chips": 32, "dtype": "float8_e4m3"}, "expert_parallel: 16, pass: forward, tokens"),
    ],
)
def test_plans_that_cannot_be_projected(plan, message):
    with pytest.raises(UsageError, match=message):
        project(**plan)


def test_layers_without_utilization_give_none():
    with pytest.raises(UsageError, match="give --utilization"):
        project([layer(16, 1e-3, utilization=None)], chips=32)


@pytest.mark.parametrize(
    ("sharing", "chips", "message"),
    [
        (1, 64, "1 chip has 80 GB for 1308 GB of routed experts"),
        (128, 64, "the experts are on 128 chips, which do not divide 64"),
    ],
)
def test_layers_of_another_deployment_are_refused(sharing, chips, message):
    with pytest.raises(UsageError, match=message):
        project([layer(16, 1e-3, expert_parallel=sharing, utilization=0.5)], chips=chips)


def test_a_pipeline_may_divide_the_layers_among_more_chips():
    run = project([layer(16, 1e-3, expert_parallel=8, utilization=0.5)], chips=64)
    assert (run.measured.expert_parallel, run.utilization.value) == (8, 0.5)
    assert run.weights_gb == pytest.approx(1342 / 64)
