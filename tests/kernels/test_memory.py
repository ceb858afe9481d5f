"""memory: bytes as STREAM counts them, and wrong results noticed."""

import numpy as np
import pytest

from bench.kernels.dtypes import DTYPES
from bench.kernels.memory import PARTS, TRIAD_SCALE, Memory

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
        return a.reshape(PARTS, -1).sum(axis=1)
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


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("where", ["in one place", "at the end", "all over"])
def test_a_thousandth_of_the_array_that_is_not_read_is_found(dtype, where):
    case = Memory(operation="read", dtype=dtype, size_mib=16)
    inputs = case.make_inputs(0)
    a = inputs["a"].array.astype(np.float64)
    few = case.elements // 1000
    skipped = {
        "in one place": slice(12345, 12345 + few),
        "at the end": slice(case.elements - few, case.elements),
        "all over": slice(0, None, 1000),
    }
    rounded = 1 + DTYPES[dtype].output_roundoff * np.resize([1, -1], PARTS)
    read = a.reshape(PARTS, -1).sum(axis=1) * rounded
    assert case.verify(inputs, {"y": read}, 0).passed
    a[skipped[where]] = 0
    read = a.reshape(PARTS, -1).sum(axis=1) * rounded
    assert not case.verify(inputs, {"y": read}, 0).passed
