"""memory: bytes as STREAM counts them, and wrong results noticed."""

import numpy as np
import pytest

from bench.kernels.memory import TRIAD_SCALE, Memory

MIB = 1 << 20


@pytest.mark.parametrize(("operation", "arrays"), [("copy", 2), ("read", 1), ("triad", 3)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", "int8"])
def test_work(operation, arrays, dtype):
    work = Memory(operation=operation, size_mib=2, dtype=dtype).work(0)
    assert work.bytes == arrays * 2 * MIB
    assert work.flops == 0


def truth(case, inputs):
    a = inputs["a"].array.astype(np.float64)
    if case.operation == "read":
        return np.array([a.sum()])
    return a + TRIAD_SCALE * inputs["b"].array if case.operation == "triad" else a


@pytest.mark.parametrize("operation", ["copy", "read", "triad"])
def test_truth_passes_and_damage_does_not(operation):
    case = Memory(operation=operation, size_mib=1)
    inputs = case.make_inputs(0)
    y = truth(case, inputs)
    assert case.verify(inputs, {"y": y}, 0).passed
    assert not case.verify(inputs, {"y": y * 1.01}, 0).passed
    assert not case.verify(inputs, {"y": y * 0}, 0).passed


def test_one_wrong_element_of_a_copy_fails():
    case = Memory(operation="copy", size_mib=1)
    inputs = case.make_inputs(0)
    y = truth(case, inputs)
    y[123456] = np.nextafter(y[123456], 9)
    assert not case.verify(inputs, {"y": y}, 0).passed
