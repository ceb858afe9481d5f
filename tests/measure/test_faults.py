"""Nothing is lost: cases that crash, hang, lie or run out of memory, and runs that are cut short.

Every fault is a real one, in a real worker process of a backend that pip has installed.
"""

from __future__ import annotations

import csv
import os
import pty
import resource
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyperf
import pytest

from tests.conftest import bench_in

# Long enough for a new worker on a busy machine.
HANG_S = 6

FAULTS = {
    "segfault": (11, "crashed", "SIGSEGV"),
    "exit": (12, "crashed", "exit code 7; its last output: giving up"),
    "hang": (13, "timeout", f"case timeout of {HANG_S} s, during calibrate"),
    "raise": (14, "error", "ValueError: the kernel is unhappy"),
    "allocate": (15, "out_of_memory", "allocate"),
    "killed": (16, "crashed", "SIGKILL"),
    "wrong": (17, "wrong_result", "relative error"),
    "full": (21, "out_of_memory", "0.0 GiB free"),
    "sensorless": (22, "error", "PermissionError: the sensors are root's"),
    "unclosed": (23, "error", "RuntimeError: memory was freed twice"),
}

CONFIG = """
description: a test
measurement: {{precision: 0.2, time_budget_s: 0.2, case_timeout_s: {timeout}, rounds: {rounds}}}
kernels:
  - {{kernel: matmul, dtype: float32, m: [{sizes}], n: 8, k: 8}}
"""


def config(bench, *sizes, timeout=30, rounds=6):
    text = CONFIG.format(sizes=", ".join(map(str, sizes)), timeout=timeout, rounds=rounds)
    return bench.write("c.yaml", text)


def csv_rows(path: Path):
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def run_faulty(bench, *more, **how):
    return bench("run", "c.yaml", "--backend", "faulty", "-o", "r.csv", *more, **how)


def between(faults):
    """Return the sizes of faulty cases, with a sound one of another size before and after each."""
    sizes = [size for number, (fault, *_) in enumerate(faults) for size in (100 + number, fault)]
    return [*sizes, 100 + len(faults)]


@pytest.fixture(scope="module")
def faults(tmp_path_factory, plugin_packages):
    """One run of all faults, with a sound case before and after each: its rows, and its output."""
    bench = bench_in(tmp_path_factory.mktemp("faults"), PYTHONPATH=str(plugin_packages))
    config(bench, *between(FAULTS.values()), timeout=HANG_S, rounds=1)
    done = bench("run", "c.yaml", "--backend", "faulty", "-o", "r.csv", status=1)
    bench("validate", "r.csv")
    return csv_rows(bench.folder / "r.csv"), done


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_one_case_and_the_next_runs(faults, fault):
    size, status, message = FAULTS[fault]
    rows, done = faults
    index = [row["m"] for row in rows].index(str(size))
    before, row, after = rows[index - 1 : index + 2]
    assert (before["status"], row["status"], after["status"]) == ("ok", status, "ok")
    assert message in row["error"]
    assert "\n" not in row["error"]
    for column in ("time_median_s", "achieved_tflops", "utilization"):
        assert row[column] == "", "a case that is not ok has no rate"
    assert status in done.stdout
    assert message in " ".join(done.stdout.split())
    assert "Traceback" not in done.stderr


def test_a_lost_device_ends_its_cases_but_keeps_their_rows(plugged):
    config(plugged, 5, 20, 6)
    run_faulty(plugged, status=1)
    rows = csv_rows(plugged.folder / "r.csv")
    assert [row["status"] for row in rows] == ["ok", "device_lost", "device_lost"]
    assert "fallen off the bus" in rows[2]["error"]


def test_a_librarys_chatter_does_not_disturb(plugged):
    config(plugged, 19)
    done = run_faulty(plugged)
    assert "chatter" not in done.stdout + done.stderr


def test_debug_shows_the_traceback(plugged):
    config(plugged, 14)
    done = run_faulty(plugged, "--debug", status=1)
    assert "Traceback" in done.stderr
    assert "faulty_backend.py" in done.stderr


def test_the_samples_of_each_round_are_a_pyperf_run(plugged):
    config(plugged, 5, rounds=3)
    run_faulty(plugged, "--time-budget", 9, "--precision", 0.99)
    (row,) = csv_rows(plugged.folder / "r.csv")
    assert row["rounds"] == "3"
    runs = (
        pyperf.BenchmarkSuite.load(str(plugged.folder / "r.pyperf.json"))
        .get_benchmarks()[0]
        .get_runs()
    )
    assert len(runs) == 3
    assert int(row["samples"]) == sum(len(run.values) for run in runs)
    medians = [statistics.median(run.values) for run in runs]
    assert row["round_medians_s"].split() == [f"{median:.9g}" for median in medians]
    assert [run.get_metadata()["round"] for run in runs] == [1, 2, 3]
    show = [sys.executable, "-m", "pyperf", "show", "r.pyperf.json"]
    done = subprocess.run(show, cwd=plugged.folder, capture_output=True, text=True, check=True)
    assert "Mean +- std dev" in done.stdout


def wait_for_rows(path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= count + 1:
            return
        time.sleep(0.02)
    raise AssertionError("no row in time")


def workers_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def assert_gone(processes) -> None:
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert not alive, f"left behind: {alive}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_keeps_its_rows_and_leaves_nobody_behind(plugged, number):
    config(plugged, 5, 6, 18, 7, rounds=1)
    run = plugged.start("run", "c.yaml", "--backend", "faulty", "--time-budget", 60, "-o", "r.csv")
    wait_for_rows(plugged.folder / "r.csv", 2)
    time.sleep(0.3)
    workers = workers_of(run.pid)
    assert workers
    run.send_signal(number)
    out, err = run.communicate(timeout=20)
    assert run.returncode == 130, out + err
    assert_gone(workers)
    assert "--resume" in err
    assert "Traceback" not in err
    rows = csv_rows(plugged.folder / "r.csv")
    assert [row["status"] for row in rows] == ["ok", "ok", "interrupted"]
    assert rows[2]["error"] == f"stopped by {number.name}"
    before = (plugged.folder / "r.csv").read_bytes()

    config(plugged, 5, 6, 18, 7, rounds=1)
    resumed = run_faulty(plugged, "--resume")
    assert "3/4" in resumed.stderr
    assert "1/4" not in resumed.stderr, "a finished case is not run again"
    rows = csv_rows(plugged.folder / "r.csv")
    assert [row["status"] for row in rows] == ["ok"] * 4
    kept = before.splitlines(keepends=True)[:3]
    assert (plugged.folder / "r.csv").read_bytes().startswith(b"".join(kept))
    plugged("validate", "r.csv")


def test_a_signal_that_is_ignored_stays_so_and_a_second_one_changes_nothing(plugged):
    """As under nohup, when the terminal is closed; and as a scheduler or an impatient user sends them."""
    config(plugged, 5, 18, rounds=1)
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    command = ("run", "c.yaml", "--backend", "faulty", "--time-budget", 60, "-o", "r.csv")
    run = plugged.start(*command, **ignoring)
    wait_for_rows(plugged.folder / "r.csv", 1)
    run.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert run.poll() is None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        run.send_signal(number)
    _, err = run.communicate(timeout=20)
    assert run.returncode == 130, err
    rows = csv_rows(plugged.folder / "r.csv")
    assert [row["status"] for row in rows] == ["ok", "interrupted"]
    assert rows[1]["error"].startswith("stopped by SIG")


def test_a_killed_run_leaves_no_worker_and_can_be_resumed(plugged):
    config(plugged, 5, 6, 13, timeout=60, rounds=1)
    run = plugged.start("run", "c.yaml", "--backend", "faulty", "-o", "r.csv")
    wait_for_rows(plugged.folder / "r.csv", 2)
    time.sleep(0.3)
    workers = workers_of(run.pid)
    run.kill()
    run.wait()
    assert_gone(workers)
    # What a power cut would leave: half of a row.
    whole = (plugged.folder / "r.csv").read_bytes()
    (plugged.folder / "r.csv").write_bytes(whole + whole.splitlines()[1][:40])
    done = run_faulty(plugged, "--resume", "--case-timeout", 1, status=1)
    assert "half" in done.stderr or "incomplete" in done.stderr
    rows = csv_rows(plugged.folder / "r.csv")
    assert [row["status"] for row in rows] == ["ok", "ok", "timeout"]
    assert (plugged.folder / "r.csv").read_bytes().startswith(whole)


def test_resume_with_another_config_is_refused(plugged):
    config(plugged, 5)
    run_faulty(plugged)
    before = (plugged.folder / "r.csv").read_bytes()
    config(plugged, 5, 6)
    done = run_faulty(plugged, "--resume", status=2)
    assert "config_sha256" in done.stderr
    config(plugged, 5)
    done = run_faulty(plugged, "--resume", "--seed", 1, status=2)
    assert "seed" in done.stderr
    assert (plugged.folder / "r.csv").read_bytes() == before


def test_an_existing_file_is_not_touched(plugged):
    config(plugged, 5)
    run_faulty(plugged)
    before = (plugged.folder / "r.csv").read_bytes()
    done = run_faulty(plugged, status=2)
    assert "--resume" in done.stderr
    assert "--force" in done.stderr
    assert (plugged.folder / "r.csv").read_bytes() == before
    run_faulty(plugged, "--force")
    assert len(csv_rows(plugged.folder / "r.csv")) == 1


def test_two_runs_on_one_file(plugged):
    config(plugged, 5, 18, 6, rounds=1)
    first = plugged.start("run", "c.yaml", "--backend", "faulty", "-o", "r.csv")
    wait_for_rows(plugged.folder / "r.csv", 1)
    second = run_faulty(plugged, "--resume", status=2)
    assert "r.csv" in second.stderr
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert len(csv_rows(plugged.folder / "r.csv")) == 3


def test_an_unwritable_folder(plugged):
    config(plugged, 5)
    done = plugged("run", "c.yaml", "--backend", "faulty", "-o", "/proc/none/r.csv", status=2)
    assert "/proc/none" in done.stderr


def test_a_full_disk_keeps_the_rows_before(plugged):
    """RLIMIT_FSIZE makes the write fail in the middle of a row, as a full disk does."""
    config(plugged, *range(30, 42), rounds=1)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    done = run_faulty(plugged, status=1, preexec_fn=limit)
    assert "r.csv" in done.stderr
    assert "Traceback" not in done.stderr
    text = (plugged.folder / "r.csv").read_bytes()
    assert text.endswith(b"\n"), "no half row is left"
    kept = csv_rows(plugged.folder / "r.csv")
    assert 1 <= len(kept) < 12
    assert f"{len(kept)} row" in done.stderr
    run_faulty(plugged, "--resume")
    assert len(csv_rows(plugged.folder / "r.csv")) == 12


def test_the_terminal_is_given_back(plugged):
    """On a terminal there is a live bar with a hidden cursor; Ctrl-C shows the cursor again."""
    config(plugged, 5, 18, 6, rounds=1)
    leader, follower = pty.openpty()
    command = ["run", "c.yaml", "--backend", "faulty", "--time-budget", "60", "-o", "r.csv"]
    environment = {**plugged.environment, "TERM": "xterm"}
    environment.pop("NO_COLOR")
    run = subprocess.Popen(
        plugged.command(*command),
        cwd=plugged.folder,
        env=environment,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    wait_for_rows(plugged.folder / "r.csv", 1)
    time.sleep(0.5)
    run.send_signal(signal.SIGINT)
    screen = b""
    while True:
        try:
            data = os.read(leader, 4096)
        except OSError:
            break
        if not data:
            break
        screen += data
    assert run.wait(timeout=20) == 130
    assert b"\x1b[?25l" in screen, "the cursor is hidden while the bar moves"
    assert screen.rfind(b"\x1b[?25h") > screen.rfind(b"\x1b[?25l"), "and shown again at the end"
