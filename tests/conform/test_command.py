"""`bench conform` as users run it: a sound backend passes, one that crashes or hangs fails by name."""

from __future__ import annotations

import json

import pytest

from tests.test_plugins import NUMPY, plug

ENDINGS = """
    def telemetry(self, device):
        import os
        os._exit(5)
    def diagnose(self):
        time.sleep(1000)
"""


def conform(bench, *words, **how):
    return {
        (one["check"], one["target"]): one
        for one in json.loads(bench("conform", *words, "--json", **how).stdout)
    }


def test_a_sound_backend_passes(plugged):
    done = plugged("conform", "numpy")
    assert "0 failed" in done.stdout
    assert "matmul.dot" in done.stdout


def test_one_implementation(plugged):
    results = conform(plugged, "numpy", "--implementation", "matmul.dot")
    assert ("agrees with the reference", "matmul.dot") in results
    assert ("devices", "") not in results
    assert all(one["verdict"] != "failed" for one in results.values())


def test_a_crash_and_a_hang_fail_their_checks_only(bench):
    plug(bench, "odd", "bench.backends", NUMPY + ENDINGS, "odd = odd:B")
    results = conform(bench, "odd", "--timeout", 15, status=1)
    failed = {
        check: one["seen"] for (check, _), one in results.items() if one["verdict"] == "failed"
    }
    assert failed.keys() == {"findings", "sensor readings", "energy", "memory returned"}
    assert failed["findings"] == "no answer within 15 s: the worker was killed"
    assert failed["energy"].startswith("the worker ended with exit code 5")
    assert results["agrees with the reference", "matmul.dot"]["verdict"] == "passed"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nmpy",), "unknown backend 'nmpy' (did you mean 'numpy'?)"),
        (("numpy", "--device", "7"), "there is no device 7"),
        (("numpy", "--implementation", "dott"), "unknown 'dott'"),
    ],
)
def test_a_name_that_there_is_not(plugged, words, message):
    assert message in plugged("conform", *words, status=2).stderr
