"""The program under cron, behind a pipe, on a full disk, and on a terminal of another encoding."""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.results.bad_files import sound

CONFIG = """
measurement: {precision: 0.9, time_budget_s: 0.05, rounds: 1}
kernels: [{kernel: matmul, dtype: float32, m: [16, 17, 18], n: 16, k: 16}]
"""
RUN = ("run", "c.yaml", "--backend", "cpu", "-o", "r.csv")


@pytest.fixture
def small(bench):
    bench.write("c.yaml", CONFIG)
    return bench


def statuses(bench):
    with (bench.folder / "r.csv").open(newline="", encoding="utf-8-sig") as file:
        return [row["status"] for row in csv.DictReader(file)]


def shell(bench, *arguments, before="", after=""):
    """Run a command in a shell with redirections, and return the finished process."""
    return subprocess.run(
        f"{before} exec {shlex.join(bench.command(*arguments))} {after}",
        shell=True,
        cwd=bench.folder,
        env=bench.environment,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(small, closed):
    done = shell(small, *RUN, after=closed)
    assert done.returncode == 0, done.stderr
    assert statuses(small) == ["ok"] * 3


def test_a_run_goes_on_without_readers(small):
    process = small.start(*RUN)
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=120) == 0
    assert statuses(small) == ["ok"] * 3


@pytest.mark.parametrize("arguments", [("list", "models"), ("show", "a.csv", "--format", "json")])
def test_a_reader_that_stops_is_no_error(bench, arguments):
    (bench.folder / "a.csv").write_bytes(sound())
    process = bench.start(*arguments)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 0


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")


@needs_full
@pytest.mark.parametrize("arguments", [("--help",), ("list", "models"), ("show", "a.csv")])
def test_output_that_cannot_be_written(bench, arguments):
    (bench.folder / "a.csv").write_bytes(sound())
    done = shell(bench, *arguments, after=">/dev/full")
    assert done.returncode == 1
    assert done.stderr == b"bench: standard output: cannot write: No space left on device\n"


@needs_full
def test_a_run_keeps_its_rows_when_the_output_cannot_be_written(small):
    done = shell(small, *RUN, after=">/dev/full 2>/dev/full")
    assert done.returncode == 1
    assert statuses(small) == ["ok"] * 3


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "latin-1"])
def test_characters_that_the_output_lacks(bench, encoding):
    """They are replaced; JSON has escapes for them, and files stay UTF-8."""
    (bench.folder / "a.csv").write_bytes(sound())
    bench.environment["PYTHONIOENCODING"] = encoding
    replaced = "64×32×16".encode(encoding, "replace")
    assert replaced in shell(bench, "show", "a.csv").stdout
    done = shell(bench, "show", "a.csv", "--format", "json", "--columns", "device_name")
    assert json.loads(done.stdout) == [{"device_name": row} for row in names(sound())]
    merged = shell(bench, "merge", "a.csv", "-o", "µ.csv")
    assert merged.stdout.startswith("µ.csv: 3 rows".encode(encoding, "replace"))
    assert (bench.folder / "µ.csv").read_bytes() == sound()
    for arguments in (("merge", "--help"), ("merge", "…")):
        done = shell(bench, *arguments)
        assert "…".encode(encoding, "replace") in done.stdout + done.stderr
        (done.stdout + done.stderr).decode(encoding)


def names(content: bytes) -> list[str]:
    return [row["device_name"] for row in csv.DictReader(content.decode().splitlines())]


def test_the_table_of_a_run_on_an_ascii_terminal(small):
    small.environment["PYTHONIOENCODING"] = "ascii"
    done = shell(small, *RUN)
    assert done.returncode == 0, done.stderr
    assert b"16?16?16" in done.stdout


@pytest.mark.parametrize("columns", ["0", "00", ""])
def test_a_width_of_zero_is_unknown(bench, columns):
    bench.environment["COLUMNS"] = columns
    assert "deepseek-v3" in bench("list", "models").stdout


def test_too_few_open_files(bench):
    done = shell(bench, "list", "models", before="ulimit -n 10;")
    assert done.returncode == 2
    assert b"only 10 files may be open at a time" in done.stderr


def test_a_low_limit_of_open_files_is_raised(small):
    done = shell(small, *RUN, before="ulimit -S -n 10;")
    assert done.returncode == 0, done.stderr
    assert statuses(small) == ["ok"] * 3


@pytest.mark.parametrize("command", [RUN[:-1], ("merge", "a.csv", "-o")])
def test_a_name_too_long_for_the_files_beside_it(small, command):
    """The CSV itself would fit into 255 bytes, its samples would not."""
    (small.folder / "a.csv").write_bytes(sound())
    before = sorted(small.folder.iterdir())
    done = small(*command, "n" * 240 + ".csv", status=2)
    assert "is 2 bytes too long" in done.stderr
    assert sorted(small.folder.iterdir()) == before


@pytest.mark.parametrize("output", ["/", "", "..", "none/.."])
@pytest.mark.parametrize(
    "command", [("run", "smoke"), ("ceiling",), ("merge", "a"), ("report", "a")]
)
def test_an_output_that_is_no_file(invoke, command, output):
    message = invoke(*command, "-o", output, status=2)
    assert "directory" in message or "folder" in message or "it is empty" in message


def test_file_names_that_are_not_utf8(bench):
    for name in (b"\xfe.csv", b"\xff.csv"):
        with open(os.path.join(os.fsencode(bench.folder), name), "wb") as file:  # noqa: PTH118, PTH123
            file.write(sound())
    assert b"\\xfe.csv" in shell(bench, "show", ".", "--columns", "file").stdout
    files = [path.name for path in sorted(bench.folder.iterdir())]
    assert shell(bench, "report", *files, "--title", "\udcff").returncode == 0
    assert "\\xfe" in (bench.folder / "report.html").read_text(encoding="utf-8")
    assert shell(bench, "merge", files[0], "-o", "\udcfd.csv").returncode == 0
