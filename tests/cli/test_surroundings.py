"""The program where cron or a daemon starts it: standard streams closed, a terminal of no width."""

from __future__ import annotations

import csv
import shlex
import subprocess

import pytest

CONFIG = """
measurement: {precision: 0.9, time_budget_s: 0.05, rounds: 1}
kernels: [{kernel: matmul, dtype: float32, m: 16, n: 16, k: 16}]
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(bench, closed):
    bench.write("c.yaml", CONFIG)
    command = shlex.join(bench.command("run", "c.yaml", "--backend", "cpu", "-o", "r.csv"))
    done = subprocess.run(
        f"exec {command} {closed}",
        shell=True,
        cwd=bench.folder,
        env=bench.environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with (bench.folder / "r.csv").open(newline="", encoding="utf-8-sig") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["ok"]


@pytest.mark.parametrize("columns", ["0", "00", ""])
def test_a_width_of_zero_is_unknown(bench, columns):
    bench.environment["COLUMNS"] = columns
    assert "deepseek-v3" in bench("list", "models").stdout
