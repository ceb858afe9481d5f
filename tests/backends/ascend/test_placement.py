"""Operators that leave the AI cores are seen while a step is executed, by their names and dtypes."""

from __future__ import annotations

import warnings

import pytest
import torch

from backends.ascend.placement import Placement

X = torch.arange(8).view(2, 4)


@pytest.mark.parametrize(
    ("step", "ai_cpu"),
    [
        (lambda: X.sort(dim=-1), {"sort of int64"}),
        (lambda: X.to(torch.int32).argsort(stable=True), {"argsort of int64", "sort of int32"}),
        (lambda: X.float().sort(), set()),
        (lambda: X.cumsum(0), {"cumsum of int64"}),
        (lambda: X.to(torch.int32).cumsum(0), {"cumsum of int64"}),
        (lambda: X.to(torch.int32).cumsum(0, dtype=torch.int32), set()),
        (lambda: torch.searchsorted(X[0], X[1]), {"searchsorted of int64"}),
        (lambda: torch.bincount(X.flatten()), {"bincount of int64"}),
        (lambda: X.float() @ X.float().T, set()),
    ],
)
def test_operators_on_the_ai_cpu(step, ai_cpu):
    with torch.inference_mode(), Placement() as placement:
        step()
    assert placement.ai_cpu <= ai_cpu
    assert bool(placement.ai_cpu) == bool(ai_cpu)
    assert (placement.remark() is None) == (not ai_cpu)


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (lambda: X[0, 0].item(), "item"),
        (lambda: torch.nonzero(X == 1, as_tuple=True), "nonzero"),
        (lambda: torch.masked_select(X, X > 1), "masked_select"),
        (lambda: X[X > 1], "index"),
    ],
)
def test_what_the_host_waits_for(step, name):
    with torch.inference_mode(), Placement() as placement:
        step()
    assert any(name in read for read in placement.host_reads)
    assert "the host waits for" in placement.remark()


def test_a_fallback_of_torch_npu_is_only_a_warning_in_older_releases():
    with Placement() as placement:
        warnings.warn(
            "CAUTION: The operator 'aten::foo.out' is not currently supported on the NPU backend and "
            "will fall back to run on the CPU. This may have performance implications.",
            stacklevel=1,
        )
    assert placement.on_host == {"aten::foo.out"}
