"""`bench run` as one of several ranks."""

from __future__ import annotations

import csv
import os
import pty
import socket
import subprocess

import pytest

CONFIG = """
measurement: {precision: 0.2, time_budget_s: 0.1}
kernels:
  - {kernel: matmul, dtype: float32, m: 16, n: 8, k: 8}
"""


def slurm(rank: int, local: int = 0, size: int = 2) -> dict[str, str]:
    return {
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(local),
        "SLURM_STEP_NUM_TASKS": str(size),
        "SLURM_STEP_ID": "0",
    }


@pytest.fixture
def small(plugged):
    plugged.write("c.yaml", CONFIG)
    return plugged


ARGUMENTS = ("run", "c.yaml", "--backend", "numpy", "-o", "out.csv")


def test_each_rank_writes_a_file_of_its_own(small):
    for rank in (0, 1):
        small.environment.update(slurm(rank))
        done = small(*ARGUMENTS)
        assert all(line.startswith(f"[rank {rank}] ") for line in done.stderr.splitlines())
        assert "16×8×8" in done.stderr
        assert bool(done.stdout) == (rank == 0), "one table is enough"
    host = socket.gethostname()
    for rank in (0, 1):
        path = small.folder / f"out-{host}-{rank}.csv"
        assert [row["status"] for row in csv.DictReader(path.open(newline=""))] == ["ok"]
        assert path.with_suffix(".pyperf.json").exists()
    small.environment.update(slurm(1))
    assert "1 row" not in small(*ARGUMENTS, "--resume").stderr, "the rank continues its own file"


def test_a_single_rank_is_an_ordinary_run(small):
    small.environment.update(slurm(0, size=1))
    assert "[rank" not in small(*ARGUMENTS).stderr
    assert (small.folder / "out.csv").exists()


def test_more_ranks_than_devices_are_refused(small):
    small.environment.update(slurm(1, local=1))
    done = small(*ARGUMENTS, status=2)
    assert "the backend has 1 device here" in done.stderr
    assert not list(small.folder.glob("*.csv"))
    assert small(*ARGUMENTS, "--device", 0).returncode == 0, "--device wins"


def test_a_variable_that_is_not_a_number(small):
    small.environment.update(slurm(0), SLURM_PROCID="first")
    assert "SLURM_PROCID='first'" in small(*ARGUMENTS, status=2).stderr


@pytest.mark.parametrize("rank", [0, 1])
def test_on_a_terminal_only_the_first_rank_prints(small, rank):
    small.environment.update(slurm(rank), TERM="xterm")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        small.command(*ARGUMENTS),
        cwd=small.folder,
        env=small.environment,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # Linux raises EIO when the other end is closed
                break
            if not part:
                break
            output += part
        assert process.wait() == 0
    os.close(ours)
    assert bool(output) == (rank == 0)
    assert b"[rank" not in output
