"""Bad files: each is refused with a message that says what and where, or read as documented."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys

import pandas as pd
import pytest

from bench.errors import InputWarning, UsageError
from bench.results.load import load
from bench.results.reader import read_rows
from tests.results.bad_files import LATE, READ, REFUSED, cell, sound, spreadsheet
from tests.results.conftest import make_row

GIB = 1 << 30


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes(sound())
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_name(file, name):
    change, message = REFUSED[name]
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(UsageError, match=message) as caught:
        load(file)
    assert caught.value.exit_code == 2
    assert all(line.startswith(f"{file}: ") for line in str(caught.value).splitlines())


@pytest.mark.parametrize("name", READ)
@pytest.mark.filterwarnings("ignore::bench.errors.InputWarning")
def test_it_is_read_like_the_sound_file(file, name):
    expected = load(file)
    rows = read_rows(file)
    change, message = READ[name]
    file.write_bytes(change(file.read_bytes()))
    if message is None:
        frame = load(file)
    else:
        with pytest.warns(InputWarning, match=message):
            frame = load(file)
    pd.testing.assert_frame_equal(frame, expected, check_categorical=False)
    assert read_rows(file) == rows


def test_an_older_file_lacks_columns_that_are_empty_then(file):
    file.write_bytes(READ["an older version"][0](file.read_bytes()))
    assert LATE
    assert load(file)[LATE].isna().all(axis=None)


@pytest.mark.parametrize("cut", [1, 3, 100, 600])
def test_a_truncated_last_line_is_left_out_and_the_rest_is_used(file, cut):
    whole = file.read_bytes().removesuffix(b"\r\n")
    file.write_bytes(whole[:-cut])
    with pytest.warns(InputWarning, match="line 4: cut off before its end; left out"):
        assert list(load(file)["m"]) == [64, 65]
    file.write_bytes(whole)
    assert list(load(file)["m"]) == [64, 65, 66], "nothing but the line end is missing"


def test_decimal_commas_at_the_end_of_a_file_with_points(file):
    """The last line is read by itself where its end is missing, but not judged by itself."""
    last = spreadsheet(",")(sound(make_row(67))).splitlines()[1]
    file.write_bytes(file.read_bytes() + last)
    with pytest.warns(InputWarning, match="line 5: cut off"):
        assert list(load(file)["m"]) == [64, 65, 66]


def test_a_number_with_a_comma_is_never_taken_for_thousands(file):
    """1,234 is 1.234 where commas are decimal, and refused where points are."""
    file.write_bytes(spreadsheet(";")(cell("peak_gbps", "1.234")(file.read_bytes())))
    with pytest.warns(InputWarning):
        assert load(file)["peak_gbps"][0] == 1.234
    file.write_bytes(cell("peak_gbps", "1,234")(sound()))
    with pytest.raises(UsageError, match=r"peak_gbps: .*have a decimal point"):
        load(file)


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_a_formula_is_a_text(file, start):
    """Other programs omit our apostrophe; the text is the same."""
    for text in (f"{start}cmd()", f"'{start}cmd()"):
        file.write_bytes(cell("device_name", text)(sound()))
        assert load(file)["device_name"][0] == f"{start}cmd()"


def test_controls_in_a_text_reach_no_terminal(file):
    file.write_bytes(cell("device_name", "a\x1b[31mb\x9bc")(sound()))
    assert load(file)["device_name"][0] == "a [31mb c"


def test_a_faster_row_with_a_word_about_it_is_read(file):
    row = make_row()
    fast = {"peak_tflops": row["achieved_tflops"] / 1.03, "warnings": "the clock is higher"}
    file.write_bytes(sound(make_row(**fast)))
    assert list(load(file)["utilization"]) == [pytest.approx(1.03)]


def test_a_folder_of_other_files(tmp_path, file):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.warns(InputWarning, match=r"other\.csv: not a result file; left out"):
        assert len(load(tmp_path)) == 3
    file.unlink()
    with (
        pytest.warns(InputWarning),
        pytest.raises(UsageError, match=r"none of the 1 \.csv files here is a result file"),
    ):
        load(tmp_path)


@pytest.mark.parametrize("read", [load, read_rows])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(UsageError, match="is a pipe or a device"):
            read(path)


@pytest.mark.parametrize("before", [b"", sound(), sound() + b"1,"])
def test_two_gigabytes_are_refused_in_little_memory(tmp_path, before):
    path = tmp_path / "r.csv"
    path.write_bytes(before)
    os.truncate(path, 2 * GIB)  # a hole: it takes no room on the disk
    code = f"from bench.results.load import load\nload({str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (GIB, GIB)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    last = done.stderr.splitlines()[-1]
    assert re.search(r"UsageError: .*r\.csv: not a result file: line \d is no text", last), last
