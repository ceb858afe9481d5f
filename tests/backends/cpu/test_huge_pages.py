"""Huge pages: the same numbers, aligned, and really huge where the system gives such pages."""

from pathlib import Path

import pytest
import torch

from backends.cpu.huge_pages import HUGE_PAGE, in_huge_pages

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def huge_kib():
    """Return how much of this process lies in huge pages."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(3, 5), (0,), (2048, 1111)])
def test_values_stay(shape, dtype):
    given = torch.randn(shape).to(dtype).movedim(0, -1)
    kept = in_huge_pages(given)
    assert torch.equal(kept, given)
    assert kept.is_contiguous()
    assert kept.dtype == dtype


@pytest.mark.skipif(
    not ENABLED.exists() or "[never]" in ENABLED.read_text(), reason="no huge pages on request here"
)
def test_large_ones_are_in_huge_pages():
    before = huge_kib()
    kept = in_huge_pages(torch.ones(32 << 20, dtype=torch.uint8))
    assert kept.data_ptr() % HUGE_PAGE == 0
    # Memory in pieces may leave the kernel short of some.
    assert huge_kib() - before > 8 << 10
