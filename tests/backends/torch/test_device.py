"""What all torch devices share: memory, sets of operands, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from backends.torch.operands import MOST_INPUT_SETS, input_sets
from backends.torch.prepared import TorchPrepared
from bench.backend import Device
from bench.errors import OutOfMemory, Unsupported
from bench.kernels.matmul import Matmul
from tests.backends.torch.implementations import BACKEND, DEVICE


def test_an_unknown_implementation_names_the_known_ones():
    with pytest.raises(Unsupported, match=r"known: .*torch"):
        BACKEND.unsupported(Matmul(dtype="float32", m=1, n=1, k=1), "trch", DEVICE)


def test_a_case_beyond_the_memory_is_refused_before_it_allocates():
    case = Matmul(dtype="float32", m=1 << 20, n=1 << 20, k=1)
    with pytest.raises(OutOfMemory, match=r"needs 4096\.0 GiB"):
        BACKEND.prepare(case, "torch", DEVICE, {})


@pytest.mark.parametrize(
    ("size", "cache", "free", "sets"),
    [
        (10, None, 1000, 1),
        (10, 50, 1000, 10),
        (10, 50, 200, 5),
        (1000, 50, 10_000, 1),
        (3, 50, None, 34),
        (1, 1 << 40, None, MOST_INPUT_SETS),
    ],
)
def test_cold_sets_pass_twice_the_cache_within_a_quarter_of_memory(size, cache, free, sets):
    assert input_sets(size, cache, free) == sets


def test_a_cold_case_takes_its_sets_in_turn_and_a_hot_one_has_one():
    case = Matmul(dtype="float32", m=16, n=16, k=16)
    device = Device(index=0, name="t", chip="t", cache_bytes=10 * case.memory_bytes())
    seen = []

    class Spy:
        timing = "host"

        def __call__(self, steps):
            # The last step is wrapped, so that its outputs are remembered.
            *first, last = steps
            seen.extend(id(step) for step in (*first, last.args[0]))
            return 1.0

    for cache, sets in (("cold", 20), ("hot", 1)):
        chosen = case.model_copy(update={"cache": cache})
        prepared = BACKEND.prepare(chosen, "torch", device, chosen.make_inputs(0))
        assert isinstance(prepared, TorchPrepared)
        assert prepared.flush_bytes == (20 * case.memory_bytes() if cache == "cold" else 0)
        prepared._timer = Spy()
        seen.clear()
        for loops in (1, 7, 32):
            prepared.run(loops)
        assert len(set(seen)) == sets
        assert all(a != b for a, b in pairwise(seen)) or sets == 1


def test_the_processors_rows_are_verified_against_its_own_limits():
    limits = BACKEND.limits(BACKEND.devices()[0], "float32")
    assert limits.peak_tflops > 0.01
    assert "measured" in limits.peak_source
    assert 1 < limits.ceiling_gbps < 5000
    assert 1e-8 < limits.launch_s < 1e-3
    assert np.isfinite(limits.peak_tflops)
