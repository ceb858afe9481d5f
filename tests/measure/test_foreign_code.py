"""Nothing that lies in the current folder runs, and no worker whose code is not the supervisor's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bench as installed
from bench.measure.client import WorkerProcess
from bench.measure.code_identity import ForeignCode
from bench.python_process import python_command, python_environment

CONFIG = """
measurement: {precision: 0.9, time_budget_s: 0.05}
kernels: [{kernel: matmul, dtype: float32, m: 16, n: 16, k: 16}]
"""
SHADOWED = (
    "json",
    "numpy",
    "torch",
    "psutil",
    "ctypes",
    "platform",
    "runpy",
    "linecache",
    "_strptime",
)
ROOT = Path(installed.__file__).parents[1]


def shadow(folder: Path) -> Path:
    """Put modules that leave a trace into a folder; return the trace."""
    trace = folder / "trace"
    for name in SHADOWED:
        text = f"open({str(trace)!r}, 'a').write({name!r})\nraise SystemExit({name!r})\n"
        (folder / f"{name}.py").write_text(text)
    return trace


@pytest.mark.parametrize("pythonpath", [None, "", os.pathsep, f"{os.pathsep}/nowhere"])
@pytest.mark.parametrize("safe_path", [True, False])
def test_a_process_imports_nothing_from_the_current_folder(
    tmp_path, monkeypatch, pythonpath, safe_path
):
    """Without PYTHONSAFEPATH it is what Python 3.10 does."""
    trace = shadow(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if pythonpath is not None:
        monkeypatch.setenv("PYTHONPATH", pythonpath)
    environment = python_environment()
    if not safe_path:
        del environment["PYTHONSAFEPATH"]
    command = python_command(
        "import json, ctypes, platform; print(json.__file__, sys.argv[1])", "7"
    )
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert str(tmp_path) not in done.stdout
    assert done.stdout.endswith(" 7\n")
    assert not trace.exists()


def test_a_folder_that_pythonpath_names_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(tmp_path), ""]))
    assert python_environment()["PYTHONPATH"] == str(tmp_path)


@pytest.mark.parametrize("arguments", [["run", "c.yaml", "--backend", "cpu"], ["doctor"]])
def test_modules_in_the_current_folder_do_not_run(bench, arguments):
    bench.write("c.yaml", CONFIG)
    trace = shadow(bench.folder)
    script = Path(sys.executable).with_name("bench")
    bench.command = lambda *words: [str(script), *words]
    done = bench(*arguments)
    assert ("matmul" if arguments[0] == "run" else "cpu can measure") in done.stdout
    assert not trace.exists(), trace.read_text()


def copy_of_bench(folder: Path, version: str = installed.__version__) -> None:
    for name in ("bench", "backends"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    init = folder / "bench" / "__init__.py"
    init.write_text(init.read_text().replace(installed.__version__, version))


def test_a_copy_of_bench_in_the_current_folder_does_not_measure(tmp_path, monkeypatch):
    copy_of_bench(tmp_path)
    worker = tmp_path / "bench" / "measure" / "worker.py"
    worker.write_text("raise SystemExit('the copy')")
    monkeypatch.chdir(tmp_path)
    process = WorkerProcess()
    try:
        (description,) = process.describe(["cpu"])
    finally:
        process.discard()
    assert description.unavailable is None


@pytest.mark.parametrize("version", [installed.__version__, "9.9"])
def test_a_worker_of_another_bench_is_refused(tmp_path, monkeypatch, version):
    """PYTHONPATH puts it before the supervisor's own."""
    copy_of_bench(tmp_path, version)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = WorkerProcess()
    try:
        with pytest.raises(
            ForeignCode, match=f"runs bench {version} in {tmp_path}/bench, but this"
        ):
            process.describe(["cpu"])
    finally:
        process.discard()


def test_a_worker_that_does_not_tell_its_code_is_refused(tmp_path, monkeypatch):
    """As those did that knew no greeting."""
    copy_of_bench(tmp_path)
    worker = tmp_path / "bench" / "measure" / "worker.py"
    text = worker.read_text()
    assert text.count('{"message": "hello", "code": code_identity()}') == 1
    worker.write_text(
        text.replace('"message": "hello", "code": code_identity()', '"message": "done"')
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = WorkerProcess()
    try:
        with pytest.raises(ForeignCode, match="runs something else"):
            process.describe(["cpu"])
    finally:
        process.discard()
