"""Rates and bounds by hand, and a warning where a rate exceeds its peak."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.roofline import rates
from bench.backend import Limits
from bench.kernels.base import Work

LIMITS = Limits(peak_tflops=100.0, peak_gbps=1000.0, peak_source="made up", launch_s=1e-6)


def test_a_compute_bound_case():
    achieved = rates(0.02, Work(flops=10**12, bytes=10**9), LIMITS, cached=False)
    assert achieved.achieved_tflops == pytest.approx(50.0)
    assert achieved.achieved_gbps == pytest.approx(50.0)
    assert achieved.utilization == pytest.approx(0.5)
    assert achieved.roofline_bound == "compute"
    assert achieved.roofline_fraction == pytest.approx(0.5)
    assert achieved.warnings == ()
    assert achieved.tokens_per_s is None


def test_a_memory_bound_case_with_tokens():
    achieved = rates(0.01, Work(flops=10**9, bytes=8 * 10**9, tokens=40), LIMITS, cached=False)
    assert achieved.roofline_bound == "memory"
    assert achieved.roofline_fraction == pytest.approx(0.8)
    assert achieved.tokens_per_s == pytest.approx(4000)


def test_a_launch_bound_case():
    achieved = rates(2e-6, Work(flops=1000, bytes=100), LIMITS, cached=False)
    assert achieved.roofline_bound == "launch"
    assert achieved.roofline_fraction == pytest.approx(0.5)


def test_unknown_limits_give_no_utilization():
    achieved = rates(1.0, Work(flops=10**12, bytes=10**9), Limits(), cached=False)
    assert achieved.achieved_tflops == pytest.approx(1.0)
    assert achieved.utilization is None
    assert achieved.roofline_bound is None
    assert achieved.roofline_fraction is None


def test_a_measured_ceiling_stands_in_for_an_unknown_peak():
    limits = Limits(ceiling_gbps=100.0)
    achieved = rates(0.02, Work(flops=0, bytes=10**9), limits, cached=False)
    assert achieved.roofline_bound == "memory"
    assert achieved.roofline_fraction == pytest.approx(0.5)
    assert achieved.achieved_tflops is None, "a copy has no FLOPs, which is not a rate of zero"


def test_a_ceiling_that_was_measured_low_is_no_physics():
    achieved = rates(0.005, Work(flops=0, bytes=10**9), Limits(ceiling_gbps=100.0), cached=False)
    assert achieved.roofline_fraction == pytest.approx(2.0)
    assert not achieved.warnings


def test_faster_than_physics_is_said():
    achieved = rates(0.005, Work(flops=10**12, bytes=10**9), LIMITS, cached=False)
    assert achieved.utilization == pytest.approx(2.0), "shown as it is, not clipped"
    assert achieved.warnings == ("2.00 times as fast as the compute peak allows",)


def test_a_cache_may_be_faster_than_memory():
    work = Work(flops=10**6, bytes=10**9)
    assert rates(1e-4, work, LIMITS, cached=False).warnings
    cached = rates(1e-4, work, LIMITS, cached=True)
    assert not cached.warnings
    assert cached.roofline_bound == "launch"


@given(
    time_s=st.floats(1e-9, 1e3),
    flops=st.integers(0, 10**18),
    size=st.integers(1, 10**13),
)
def test_fractions_are_consistent(time_s, flops, size):
    achieved = rates(time_s, Work(flops=flops, bytes=size), LIMITS, cached=False)
    assert achieved.roofline_fraction > 0
    if achieved.roofline_bound == "compute":
        assert achieved.roofline_fraction == pytest.approx(achieved.utilization)
