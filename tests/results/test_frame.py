"""Frames: the same values as row by row, whichever way they were read, and nothing wrong let through."""

import pytest

from bench.errors import UsageError
from bench.results import frame as frames
from bench.results.frame import load
from bench.results.writer import ResultFile


@pytest.fixture
def file(tmp_path, ok):
    path = tmp_path / "r.csv"
    with ResultFile.create(path) as result:
        for m in range(64, 69):
            result.append(ok(m))
    return path


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_parts_are_joined_row_by_row(file, monkeypatch, chunk, line_end, mark):
    monkeypatch.setattr(frames, "CHUNK", chunk)
    file.write_bytes(mark + file.read_bytes().replace(b"\r\n", line_end))
    frame = load(file)
    assert list(frame["m"]) == [64, 65, 66, 67, 68]
    assert set(frame["time_median_s"]) == {2.5e-5}
    assert list(frame.index) == [0, 1, 2, 3, 4]


def test_a_cut_off_line_is_left_out_with_a_warning(file):
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.warns(UserWarning, match="line 6: cut off before its end; left out"):
        assert list(load(file)["m"]) == [64, 65, 66, 67]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b",2.5e-05,", b",nan,", "line 2: time_median_s: expected a finite number above 0"),
        (b",2.5e-05,", b",-1,", "line 2: time_median_s: expected a finite number above 0"),
        (b",2.5e-05,", b',"0,000025",', "line 2: time_median_s: .*write decimal points"),
        (b",ok,", b",fine,", "line 2: status: expected one of"),
        (b",cpu,cpu,", b",cpu,", "line 2: .* cells, but the header has"),
        (b",0.0017476266666666667,", b",1.5,", "utilization: expected at most 1.02"),
    ],
)
def test_what_is_wrong_is_named(file, old, new, message):
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        load(file)


def test_a_folder_of_other_csvs(tmp_path, file):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.warns(UserWarning, match="not a result file; left out"):
        assert len(load(tmp_path)) == 5
    file.unlink()
    with pytest.raises(UsageError, match="none of the 1"):
        load(tmp_path)


def test_globs_and_columns(tmp_path, file):
    assert next(iter(load(tmp_path / "*.csv", ["m"]).columns)) == "m"
    with pytest.raises(UsageError, match="did you mean"):
        load(file, ["dtpye"])
    with pytest.raises(UsageError, match="no file matches"):
        load(tmp_path / "no*.csv")


def test_a_text_that_looks_like_a_number_stays_a_text(tmp_path, ok):
    with ResultFile.create(tmp_path / "r.csv") as result:
        result.append(ok(64, host="007", git_commit="1234e56"))
    frame = load(tmp_path / "r.csv")
    assert (frame["host"][0], frame["git_commit"][0]) == ("007", "1234e56")


def test_an_integer_is_written_as_one(file):
    file.write_bytes(file.read_bytes().replace(b",64,32,16,", b",6.4E+01,32,16,"))
    with pytest.raises(UsageError, match="line 2: m: expected an integer"):
        load(file)
