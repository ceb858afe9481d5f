"""Plug-ins that do not keep the contract: each is named, and only what is its own is lost."""

from __future__ import annotations

import csv
import json
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from bench import plugins
from bench.backend import Device, Limits, Telemetry
from bench.errors import InputWarning
from bench.measure.border import WrongValue, checked
from tests.results.bad_files import sound
from tests.results.conftest import make_row

CONFIG = """
measurement: {precision: 0.9, time_budget_s: 0.05, rounds: 1}
kernels: [{kernel: matmul, dtype: float32, m: 16, n: 16, k: 16}]
"""
NUMPY = "from numpy_backend import *\nclass B(NumpyBackend):\n    name = 'odd'\n"
WRONG = {
    "devices": (
        "def devices(self): return 'cpu'",
        "devices() of backend odd returned 'cpu'; expected a list of Device",
    ),
    "index": (
        "def devices(self): return [Device('0', 'x', 'x')]",
        "devices() of backend odd: index is '0'; expected int",
    ),
    "twice": (
        "def devices(self): return [Device(0, 'x', 'x'), Device(0, 'y', 'y')]",
        "devices() of backend odd returned the same index twice",
    ),
    "priority": ("priority = 'high'", "priority of backend odd is 'high'; expected int"),
    "versions": ("def versions(self): return 3", "versions() of backend odd returned 3"),
    "names": ("def implementations(self, kernel): return [1]", "implementations() of backend odd"),
    "exit": ("def devices(self): raise SystemExit(0)", "SystemExit: 0"),
    "leaves at import": (
        "import os; os._exit(9)",
        "looking for devices, the worker ended with exit code 9",
    ),
    "exit at construction": ("def __init__(self): raise SystemExit('no')", "SystemExit: no"),
}
WRONG_IN_A_CASE = {
    "limits": (
        "def limits(self, device, dtype): return None",
        "limits() of backend odd returned None; expected a Limits",
    ),
    "peak": (
        "def limits(self, device, dtype): return Limits(peak_tflops='312')",
        "peak_tflops is '312'; expected float or None",
    ),
    "clock": (
        "def telemetry(self, device):\n"
        "        class S(NoSensors):\n"
        "            def stop(self): return Telemetry(clock_mhz='fast')\n"
        "        return S()",
        "clock_mhz is 'fast'; expected float or None",
    ),
}

EXAMPLE = Path(__file__).parent / "plugins" / "example_backend" / "numpy_backend.py"


def plug(bench, name: str, group: str, code: str, value: str) -> None:
    """Put a module with its entry point where the program finds it."""
    folder = bench.folder / "site"
    (folder / f"{name}-1.dist-info").mkdir(parents=True)
    (folder / f"{name}.py").write_text(code)
    (folder / EXAMPLE.name).write_text(EXAMPLE.read_text())
    information = folder / f"{name}-1.dist-info"
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (information / "entry_points.txt").write_text(f"[{group}]\n{value}\n")
    paths = [str(folder), *filter(None, [bench.environment.get("PYTHONPATH")])]
    bench.environment["PYTHONPATH"] = ":".join(paths)


@pytest.mark.parametrize("name", WRONG)
def test_a_backend_that_describes_itself_wrongly_is_named(bench, name):
    body, message = WRONG[name]
    plug(
        bench,
        "odd",
        "bench.backends",
        NUMPY + textwrap.indent(body, "    "),
        "odd = odd:B\nnumpy = numpy_backend:NumpyBackend",
    )
    listed = " ".join(bench("list", "backends").stdout.split())
    assert message in listed
    assert "numpy 1 device(s)" in listed


@pytest.mark.parametrize("name", WRONG_IN_A_CASE)
def test_a_wrong_value_costs_the_case(bench, name):
    body, message = WRONG_IN_A_CASE[name]
    plug(
        bench,
        "odd",
        "bench.backends",
        f"{NUMPY}    {body}\n",
        "odd = odd:B\nnumpy = numpy_backend:NumpyBackend",
    )
    bench.write("c.yaml", CONFIG)
    bench("run", "c.yaml", "--backend", "odd", "-o", "r.csv", status=1)
    with (bench.folder / "r.csv").open(newline="", encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert row["status"] == "error"
    assert message in row["error"]


@pytest.mark.parametrize("group", [plugins.KERNELS, plugins.CHIPS, plugins.IMPLEMENTATIONS])
@pytest.mark.parametrize("code", ["raise SystemExit(0)", "import os\nos._exit(0)"])
def test_a_plugin_that_exits_when_it_is_imported_is_left_out(bench, group, code):
    plug(bench, "quits", group, code, "matmul.quits = quits:X")
    bench.write("c.yaml", CONFIG)
    done = bench("run", "c.yaml", "--backend", "cpu", "-o", "r.csv")
    if "os._exit" in code:
        named = f"the plug-in matmul.quits ({group}) is left out: "
        assert named in done.stderr
        assert "ended with exit code 0" in done.stderr
    elif group == plugins.KERNELS:
        assert "SystemExit: 0" in bench("list", "kernels").stdout


def test_a_plugin_that_crashes_when_it_is_imported_is_listed_with_its_signal(bench):
    code = "import ctypes\nctypes.string_at(0)"
    plug(bench, "crashes", plugins.KERNELS, code, "crashes = crashes:X")
    listed = " ".join(bench("list", "kernels").stdout.split())
    assert "importing it died of SIGSEGV" in listed


def test_what_a_plugin_prints_is_no_output(bench):
    code = "import os\nprint('hello', flush=True)\nos.write(1, b'hello\\n')\n"
    code += "from bench.kernels.matmul import Matmul\nclass X(Matmul): pass"
    plug(bench, "chatty", plugins.KERNELS, code, "chatty = chatty:X")
    done = bench("list", "kernels", "--format", "json")
    assert "chatty" in [item["kernel"] for item in json.loads(done.stdout)]
    assert done.stderr == "hello\nhello\n"


def test_a_kernel_that_exits_when_it_is_imported_leaves_results_readable(bench):
    plug(bench, "quits", plugins.KERNELS, "import os\nos._exit(0)", "own = quits:X")
    (bench.folder / "a.csv").write_bytes(
        sound(make_row(kernel="own", case_id="own-bf16-0123456789"))
    )
    done = bench("validate", "a.csv")
    assert done.stdout == "a.csv: sound, 1 row\n"
    assert "the plug-in own (bench.kernels) is left out" in done.stderr


def test_a_kernel_whose_work_ends_the_worker_costs_its_own_rows(bench, plugin_packages):
    code = """
from bench.kernels.matmul import Matmul
class Deadly(Matmul):
    name = "deadly"
    def work(self, seed):
        import os
        os._exit(3)
class Moody(Matmul):
    name = "moody"
    def work(self, seed):
        raise ValueError("not today")
class Empty(Matmul):
    name = "empty"
    def work(self, seed):
        return None
"""
    kernels = "deadly = kernels_of_others:Deadly\nmoody = kernels_of_others:Moody\n"
    kernels += "empty = kernels_of_others:Empty"
    bench.environment["PYTHONPATH"] = str(plugin_packages)
    plug(bench, "kernels_of_others", plugins.KERNELS, code, kernels)
    shape = "dtype: float32, m: 16, n: 16, k: 16}"
    names = ("deadly", "moody", "empty", "matmul")
    listed = ", ".join(f"{{kernel: {name}, {shape}" for name in names)
    bench.write("c.yaml", f"measurement: {{rounds: 1, time_budget_s: 0.05}}\nkernels: [{listed}]")
    bench("run", "c.yaml", "--backend", "numpy", "-o", "r.csv", status=1)
    with (bench.folder / "r.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["crashed", "error", "error", "ok"]
    assert "exit code 3" in rows[0]["error"]
    assert "during describe" in rows[0]["error"]
    assert rows[0]["flops"] == ""
    assert "ValueError: not today" in rows[1]["error"]
    assert "work() of kernel empty returned None; expected a Work" in rows[2]["error"]
    bench("validate", "r.csv")


def test_an_implementation_that_cannot_be_made_is_left_out(bench):
    code = "class X:\n    def __init__(self): raise ValueError('not today')"
    plug(bench, "moody", plugins.IMPLEMENTATIONS, code, "matmul.moody = moody:X")
    bench.write("c.yaml", CONFIG)
    bench("run", "c.yaml", "--backend", "cpu", "-o", "r.csv")
    named = ("--implementation", "moody", "-o", "named.csv")
    done = bench("run", "c.yaml", "--backend", "cpu", *named, status=2)
    assert "--implementation: unknown 'moody'" in done.stderr


@pytest.fixture
def registered_here(tmp_path, monkeypatch):
    """Register modules in this process, with nothing loaded yet."""

    def register(**codes):
        for name, code in codes.items():
            (tmp_path / f"{name}.py").write_text(code)
            information = tmp_path / f"{name}-1.dist-info"
            information.mkdir()
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n"
            (information / "METADATA").write_text(text)
            points = f"[bench.test]\nmine = {name}:X\n{name} = {name}:X\n"
            (information / "entry_points.txt").write_text(points)

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv(plugins.LEFT_OUT, "{}")
    plugins.load_all.cache_clear()
    yield register
    plugins.load_all.cache_clear()
    for name in ("plug_a", "plug_b"):
        sys.modules.pop(name, None)


def test_two_plugins_of_one_name_are_told(registered_here):
    registered_here(plug_a="X = 1", plug_b="X = 2")
    with pytest.warns(
        InputWarning, match="two plug-ins named mine: plug_a:X is used, and not plug_b"
    ):
        plug_ins = plugins.load_all("bench.test")
    assert plug_ins.loaded == {"mine": 1, "plug_a": 1, "plug_b": 2}


def test_a_plugin_that_hangs_is_named(registered_here, monkeypatch):
    monkeypatch.setattr(plugins, "LOAD_TIMEOUT_S", 0.2)
    registered_here(plug_a="import time\ntime.sleep(600)")
    with pytest.warns(InputWarning, match="the plug-in plug_a .* is left out: importing it was"):
        plug_ins = plugins.load_all("bench.test")
    assert set(plug_ins.broken) == {"mine", "plug_a"}
    assert "importing it was not done after 0.2 s" in plug_ins.broken["plug_a"]


@pytest.mark.parametrize("value", [True, "1", float("nan"), float("inf"), np.float32(1), 1 + 0j])
def test_what_is_no_number(value):
    with pytest.raises(WrongValue, match=r"x: power_w is .*; expected float or None"):
        checked(Telemetry(power_w=value), Telemetry, "x")


@pytest.mark.parametrize(
    "value", [Limits(peak_tflops=312, launch_s=np.float64(1e-6)), Device(0, "a", "b"), Telemetry()]
)
def test_what_the_contract_allows(value):
    assert checked(value, type(value), "x") is value
