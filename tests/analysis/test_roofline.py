"""Rates and bounds by hand, and a warning where a rate exceeds its peak."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.roofline import rates
from bench.backend import Limits
from bench.kernels.base import Work

LIMITS = Limits(peak_tflops=100.0, peak_gbps=1000.0, peak_source="made up", launch_s=1e-6)


def test_a_compute_bound_case():
    found = rates(0.02, Work(flops=10**12, bytes=10**9), LIMITS, cached=False)
    assert found.achieved_tflops == pytest.approx(50.0)
    assert found.achieved_gbps == pytest.approx(50.0)
    assert found.utilization == pytest.approx(0.5)
    assert found.roofline_bound == "compute"
    assert found.roofline_fraction == pytest.approx(0.5)
    assert found.warnings == ()
    assert found.tokens_per_s is None


def test_a_memory_bound_case_with_tokens():
    found = rates(0.01, Work(flops=10**9, bytes=8 * 10**9, tokens=40), LIMITS, cached=False)
    assert found.roofline_bound == "memory"
    assert found.roofline_fraction == pytest.approx(0.8)
    assert found.tokens_per_s == pytest.approx(4000)


def test_a_launch_bound_case():
    found = rates(2e-6, Work(flops=1000, bytes=100), LIMITS, cached=False)
    assert found.roofline_bound == "launch"
    assert found.roofline_fraction == pytest.approx(0.5)


def test_unknown_limits_give_no_utilization():
    found = rates(1.0, Work(flops=10**12, bytes=10**9), Limits(), cached=False)
    assert found.achieved_tflops == pytest.approx(1.0)
    assert found.utilization is None
    assert found.roofline_bound is None
    assert found.roofline_fraction is None


def test_a_measured_ceiling_stands_in_for_an_unknown_peak():
    limits = Limits(ceiling_gbps=100.0)
    found = rates(0.02, Work(flops=0, bytes=10**9), limits, cached=False)
    assert found.roofline_bound == "memory"
    assert found.roofline_fraction == pytest.approx(0.5)
    assert found.achieved_tflops is None, "a copy has no FLOPs, which is not a rate of zero"


def test_a_ceiling_that_was_measured_low_is_no_physics():
    found = rates(0.005, Work(flops=0, bytes=10**9), Limits(ceiling_gbps=100.0), cached=False)
    assert found.roofline_fraction == pytest.approx(2.0)
    assert not found.warnings


def test_faster_than_physics_is_said():
    found = rates(0.005, Work(flops=10**12, bytes=10**9), LIMITS, cached=False)
    assert found.utilization == pytest.approx(2.0), "shown as it is, not clipped"
    assert found.warnings == ("2.00 times as fast as the compute peak allows",)


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
    found = rates(time_s, Work(flops=flops, bytes=size), LIMITS, cached=False)
    assert found.roofline_fraction > 0
    if found.roofline_bound == "compute":
        assert found.roofline_fraction == pytest.approx(found.utilization)
