"""Whether the device waited for the host: from the visits of a case to its row."""

from __future__ import annotations

import pytest

from bench.backend import Device, Limits
from bench.config.cases import Case
from bench.kernels.matmul import Matmul
from bench.measure.border import WrongValue, checked_prepared
from bench.measure.case_work import describe_case
from bench.measure.protocol import Outcome
from bench.measure.row import HOST_BOUND, make_row


def row(*visits):
    """Make the row of visits that were host-bound or not."""
    case = Case(Matmul(dtype="bfloat16", m=64, n=64, k=64))
    outcomes = [
        Outcome(
            "ok",
            verified=True,
            values_s=[1e-5] * 6,
            timing="events",
            flush_bytes=0,
            limits=Limits(launch_s=1e-6),
            host_bound=host_bound,
        )
        for host_bound in visits
    ]
    work = describe_case(case.kernel, 0)
    return make_row(case, Device(0, "t", "t"), outcomes, work, seed=0, identity={})


@pytest.mark.parametrize(
    ("visits", "host_bound"),
    [
        ((None, None), None),
        ((True, True, False), True),
        ((True, False, None), False),
        ((False,), False),
    ],
)
def test_most_visits_decide_and_a_warning_says_so(visits, host_bound):
    made = row(*visits)
    assert made["host_bound"] is host_bound
    assert (HOST_BOUND in (made["warnings"] or "")) == bool(host_bound)


class Prepared:
    timing, flush_bytes = "graph", 0

    def __init__(self, **more):
        vars(self).update(more)


@pytest.mark.parametrize("more", [{"multiple": 0}, {"multiple": 1.5}, {"launch_s": -1.0}])
def test_attributes_of_a_prepared_case_that_cannot_be(more):
    (name,) = more
    checked_prepared(Prepared(), "prepare()")
    with pytest.raises(WrongValue, match=name):
        checked_prepared(Prepared(**more), "prepare()")
