"""The wheel: what is installed works from any folder, with configs, shapes and peaks inside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = (
    "bench",
    "backends",
    "configs",
    "results",
    "setup.cfg",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which pip has installed the project from a copy of its sources."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in SOURCES:
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*command, str(target), str(source)], check=True, capture_output=True)
    return target


def run(installed: Path, folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_it_is_complete(installed, tmp_path):
    where = run(installed, tmp_path, "-c", "import bench, backends; print(bench.__file__)")
    assert where.startswith(str(installed)), "the installed one, not the sources"
    files = {path.name for path in installed.rglob("*")}
    assert {"nvidia-h100.csv", "ascend-910b2.csv", "prices.csv", "2025-05-podcast.yaml"} <= files
    assert {"models.yaml", "chips.yaml", "smoke.yaml", "full.yaml", "py.typed"} <= files
    assert {"page.html.jinja", "page.js", "style.css", "vega-licences.txt"} <= files
    assert not any("test" in name for name in files if name.endswith(".py"))


@pytest.mark.slow
def test_it_works_from_an_empty_folder(installed, tmp_path):
    assert "smoke" in run(installed, tmp_path, "-m", "bench", "list", "configs")
    assert "deepseek-v3" in run(installed, tmp_path, "-m", "bench", "list", "models")
    assert "h100-sxm" in run(installed, tmp_path, "-m", "bench", "list", "chips")
    assert "refuted" in run(installed, tmp_path, "-m", "bench", "claims")
    arguments = ["--backend", "cpu", "--filter", "kernel=matmul,m=512", "--time-budget", "0.1"]
    shown = run(installed, tmp_path, "-m", "bench", "run", *arguments)
    assert "512×512×512" in shown
    assert list((tmp_path / "results" / "local").glob("smoke-cpu-*.csv"))


@pytest.mark.slow
def test_there_is_a_console_script(installed):
    script = (installed / "bin" / "bench").read_text()
    assert "bench.cli.main" in script
