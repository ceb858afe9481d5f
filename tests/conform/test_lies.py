"""Every lie of tests/plugins is named by a check, and the truth by none."""

from __future__ import annotations

import time
from pathlib import Path

import lying_backend
import numpy as np
import pytest
from lying_backend import LyingBackend
from numpy_backend import NumpyBackend, Product

from bench.backend import Device, Finding, Limits, Telemetry
from bench.conform.checks import BY_NAME
from bench.conform.subject import Subject
from bench.conform.worker import run_check

LIES = {
    "IDLE": "outputs left by run",
    "THOUSANDFOLD": "seconds within wall time",
    "THIRD": "share of wall time",
    "EARLY": "synchronized",
    "ONCE": "linear in executions",
    "FIRST_ONLY": "outputs repeat",
    "HUNDREDTH": "outputs after executions",
    "MOON": "prepared case",
    "ZERO": "seconds within wall time",
    "WORDS": "seconds within wall time",
    "TRUE": "seconds within wall time",
    "AGES": "seconds within wall time",
    "NEGATIVE": "seconds within wall time",
    "CONSTANT": "linear in executions",
    "NO_TIMING": "prepared case",
    "COMPLEX": "outputs",
    "EXTRA": "outputs",
    "STRINGS": "outputs",
    "LISTS": "outputs",
    "FLAT": "outputs",
    "NO_MAPPING": "outputs",
    "NOTHING": "outputs",
    "OBJECTS": "outputs",
    "NUMBERED": "outputs",
    "BYTES_IN_WORDS": "prepared case",
    "COMPILED_IN_WORDS": "prepared case",
    "STAGED": "stages",
    "RENAMED": "outputs",
}


class Sampler:
    """Sensors that read what they are made with."""

    def __init__(self, **readings):
        self.readings = readings

    def start(self):
        pass

    def stop(self):
        return Telemetry(**self.readings)


class Unreadable(Sampler):
    def stop(self):
        raise PermissionError("the sensors are root's")


class Hoarder(Product):
    kept: list = []  # noqa: RUF012 - what the lie is about

    def __init__(self, case, inputs):
        super().__init__(case, inputs)
        self.kept.append(np.ones_like(self.a))


class Remembering(NumpyBackend):
    """Computes the first case of a size, and hands that out ever after."""

    def __init__(self):
        self.first = {}

    def prepare(self, case, implementation, device, inputs):
        return self.first.setdefault(case, Product(case, inputs))


class Flushing(Product):
    """Claims to flush, and takes the same time hot and cold."""

    flush_bytes = 1 << 30

    def run(self, loops):
        time.sleep(1e-3 * loops)
        return 1e-3 * loops


class Rinsing(Product):
    flush_bytes = 1


class Careless(NumpyBackend):
    def prepare(self, case, implementation, device, inputs):
        return Product(case, inputs)


class Exhausted(NumpyBackend):
    """Has never heard of memory that runs out."""

    def prepare(self, case, implementation, device, inputs):
        if case.memory_bytes() > 1 << 40:
            raise RuntimeError("error 2")
        return super().prepare(case, implementation, device, inputs)


class OffByOne(Product):
    """Is wrong in the last row of odd sizes, as kernels that work in tiles are."""

    def outputs(self):
        c = super().outputs()["c"]
        if c.shape[1] % 2:
            c[:, -1] = 0
        return {"c": c}


def backend(**members):
    return type("Odd", (NumpyBackend,), members)()


def devices(*values):
    return backend(devices=lambda self: list(values))


def sensors(**readings):
    return backend(telemetry=lambda self, device: Sampler(**readings))


def limits(**values):
    return backend(limits=lambda self, device, dtype: Limits(**values))


def preparing(kind):
    return backend(prepare=lambda self, case, name, device, inputs: kind(case, inputs))


def finding(*values):
    return backend(diagnose=lambda self: list(values))


CONTRACT = {
    "two devices of one index": (
        devices(Device(0, "a", "a"), Device(0, "b", "b")),
        "devices",
        "the same index twice",
    ),
    "no memory": (devices(Device(0, "a", "a", memory_bytes=0)), "devices", "memory_bytes is 0"),
    "less than no memory": (
        devices(Device(0, "a", "a", memory_bytes=-1)),
        "devices",
        "memory_bytes is -1",
    ),
    "a device without a name": (devices(Device(0, " ", "a")), "devices", "has no name"),
    "indices out of order": (
        devices(Device(1, "a", "a"), Device(0, "b", "b")),
        "devices",
        "expected ascending",
    ),
    "no versions": (backend(versions=lambda self: {}), "versions", "nobody will know"),
    "a name twice": (
        backend(implementations=lambda self, kernel: ["dot", "dot"]),
        "implementations",
        "['dot', 'dot']",
    ),
    "implementations of everything": (
        backend(implementations=lambda self, kernel: ["dot"]),
        "implementations",
        "no_such_kernel",
    ),
    "true for a reason": (
        backend(unsupported=lambda self, case, name, device: True),
        "unsupported",
        "returned True",
    ),
    "a peak of 0": (limits(peak_tflops=0.0, peak_source="x"), "limits", "peak_tflops is 0"),
    "a peak from nowhere": (limits(peak_tflops=1.0), "limits", "without a peak_source"),
    "a ceiling above the peak": (
        limits(peak_gbps=1.0, peak_source="x", ceiling_gbps=2.0, ceiling_source="x"),
        "limits",
        "a ceiling of 2 above a peak of 1 GB/s",
    ),
    "faster than the peak": (
        limits(peak_tflops=1e-9, peak_source="x"),
        "nothing above the peak",
        "peak 1e-09",
    ),
    "power in words": (sensors(power_w="hot"), "sensor readings", "power_w is 'hot'"),
    "a temperature of the sun": (
        sensors(temperature_c=5500.0),
        "sensor readings",
        "temperature_c is 5500",
    ),
    "busier than always": (sensors(busy=42.0), "sensor readings", "possible are 0 to 1"),
    "sensors that raise": (
        backend(telemetry=lambda self, device: Unreadable()),
        "sensor readings",
        "PermissionError: the sensors are root's",
    ),
    "energy that is not power × time": (
        sensors(power_w=100.0, energy_j=1e6),
        "energy",
        "1e+06 J, 100 W",
    ),
    "a finding of no level": (
        finding(Finding("bad", "fan", "it is loud")),
        "findings",
        "level 'bad'",
    ),
    "a finding without text": (finding(Finding("ok", "fan", None)), "findings", "is no text"),
    "memory that stays": (preparing(Hoarder), "memory returned", "process grew by"),
    "the first inputs for ever": (Remembering(), "inputs decide outputs", "the same outputs"),
    "any name will do": (Careless(), "unknown implementation", "accepted"),
    "an error for full memory": (Exhausted(), "out of memory", "RuntimeError: error 2"),
    "a flush that is none": (preparing(Flushing), "cold differs from hot", "1024 MiB flushed, but"),
    "a flush smaller than the cache": (
        backend(
            prepare=lambda self, case, name, device, inputs: Rinsing(case, inputs),
            devices=lambda self: [Device(0, "a", "a", cache_bytes=1 << 20)],
        ),
        "cold differs from hot",
        "flush_bytes 1, but the cache holds 1048576",
    ),
    "odd sizes": (preparing(OffByOne), "agrees with the reference", "matmul f32 7×5×3"),
}


def result(backend, name):
    check = BY_NAME[name]
    narrow = ("matmul", "dot") if check.scope == "implementation" else (None, None)
    return run_check(check, Subject(backend, backend.devices()[0], *narrow, budget_s=2))


def test_every_lie_has_a_check():
    numbers = {name for name, value in vars(lying_backend).items() if type(value) is int}
    assert numbers == LIES.keys()


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_named(lie):
    ended = result(LyingBackend(getattr(lying_backend, lie)), LIES[lie])
    assert ended.verdict == "failed", ended
    assert ended.seen
    assert ended.expected


@pytest.mark.parametrize("fault", CONTRACT)
def test_a_breach_of_the_contract_is_named(fault):
    odd, name, seen = CONTRACT[fault]
    ended = result(odd, name)
    assert ended.verdict == "failed", ended
    assert seen in ended.seen


@pytest.mark.parametrize("name", BY_NAME)
def test_the_truth_passes(name):
    ended = result(NumpyBackend(), name)
    assert ended.verdict in ("passed", "not applicable"), ended


def test_the_page_lists_every_check():
    page = (Path(__file__).parents[2] / "docs" / "conform.md").read_text(encoding="utf-8")
    for check in BY_NAME.values():
        assert f"| {check.name} | `{check.contract}` | {check.expected} |" in page
