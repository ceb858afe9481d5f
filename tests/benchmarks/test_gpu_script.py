"""The script that measures a GPU, tried on the processor: every table is there, with numbers in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TABLES = {
    "Timers: others over ours": 2,
    "Search for the highest bfloat16 rate": 2,
    "DeepSeek-V3's layer": 2,
    "Random inputs against zeros": 2,
    "Cold caches against warm ones": 2,
    "Published for an H100 SXM": 10,
}


@pytest.mark.slow
def test_the_dry_run_makes_every_table(tmp_path):
    done = subprocess.run(
        [str(ROOT / "benchmarks" / "gpu.sh"), "--dry-run", str(tmp_path / "out")],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "out" / "tables.md").read_text()
    assert text in done.stdout
    sections = {part.split("\n")[0]: part for part in text.split("\n## ")[1:]}
    for title, least in TABLES.items():
        (section,) = [part for name, part in sections.items() if name.startswith(title)]
        rows = [line for line in section.splitlines() if line.startswith("|")][2:]
        assert len(rows) >= least, title
        assert all(re.search(r"\d\.\d", row) and "nan" not in row for row in rows), title
    assert re.search(r"takes \d+\.\d{4} times as long", text)
    assert (tmp_path / "out" / "tables.csv").exists()
    assert (tmp_path / "out" / "matmul.csv").exists()


def test_a_step_that_fails_is_told_and_the_others_run(tmp_path):
    # Only the first script fails; the other steps do nothing, and succeed.
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ncase "$1" in *gpu_timers.py) exit 1;; esac\n')
    python.chmod(0o755)
    done = subprocess.run(
        [str(ROOT / "benchmarks" / "gpu.sh"), "--dry-run", str(tmp_path / "out")],
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("failed: ") == 1
    assert done.stderr.count("# ") == 3


INSTALLS = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
*import*) [ "${{0%venv*}}" != "$0" ] ;;
*"-m venv"*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
esac
"""


def test_without_the_project_it_is_installed_from_wheels_and_without_a_network(tmp_path):
    log, python, wheels = tmp_path / "log", tmp_path / "python", tmp_path / "wheels"
    python.write_text(INSTALLS.format(log=log))
    python.chmod(0o755)
    command = [str(ROOT / "benchmarks" / "gpu.sh"), "--dry-run", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHON": str(python), "WHEELS": str(wheels)}

    def calls():
        log.unlink(missing_ok=True)
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return log.read_text().splitlines()

    assert not any("pip" in call for call in calls()), "without wheels PYTHON is taken as it is"
    wheels.mkdir()
    probe, venv, pip, *steps = calls()
    assert "import" in probe
    assert venv == f"-m venv --system-site-packages {tmp_path / 'out' / 'venv'}"
    assert pip.startswith(f"-m pip install --quiet --no-index --find-links {wheels} accelerator")
    assert len(steps) == 3
