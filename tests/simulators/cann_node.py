"""Runs `bench` on a simulated Ascend node, as a user does on a real one.

with-cann makes what it needs at its first use: a build of half a minute and a download of 43 MB.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

WITH_CANN = Path(__file__).parent / "with-cann"
ENVIRONMENT = {**os.environ, "PYTHON": sys.executable, "COLUMNS": "100", "NO_COLOR": "1"}
QUICK = "measurement: {precision: 0.2, time_budget_s: 0.05, case_timeout_s: 120}\nkernels:\n"

PRODUCT = "  - {kernel: matmul, dtype: bfloat16, m: 64, n: 48, k: 96, cache: hot}\n"
COPY = "  - {kernel: memory, operation: copy, size_mib: 1, cache: hot}\n"


def command(*words, folder=None, environment=None, **scenario):
    """Return a finished command; `scenario` is what tests/simulators/cann/scenario.cpp lists."""
    variables = {f"CANN_SIM_{name}": str(value) for name, value in scenario.items()}
    return subprocess.run(
        [WITH_CANN, *words],
        cwd=folder,
        env={**ENVIRONMENT, **variables, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def run(folder, kernels, *options, status=0, sensors="", environment=None, **scenario):
    """Return the rows of a run of `kernels` (YAML), and what was printed; `sensors` is for DCMI."""
    (folder / "config.yaml").write_text(QUICK + kernels)
    words = ["bench", "run", "config.yaml", "--backend", "ascend", "-o", "rows.csv", "--force"]
    environment = {"DCMI_SCENARIO": sensors, **(environment or {})}
    done = command(*words, *options, folder=folder, environment=environment, **scenario)
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    with (folder / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(row["simulated"] == "true" for row in rows), "nothing simulated is a measurement"
    return rows, done.stderr
