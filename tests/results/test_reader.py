"""Reading: what was written comes back equal, and what is wrong is named by line and column."""

import itertools
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.results.cells import LONGEST_TEXT, format_cell, format_row, parse_cell
from bench.results.columns import BY_NAME, COLUMNS, DATE, NAMES
from bench.results.reader import read_rows, rows_of, scan
from bench.results.writer import ResultFile, record

GOLDEN = Path(__file__).with_name("golden.csv")

# Older files lack late columns.
NEEDED = sum(not column.late for column in COLUMNS)

# Text that reads back unchanged; other characters have tests of their own below.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029"), min_size=1
) | st.text("='\"+-@,;＝ \u00a0x", min_size=1)


def values(column):
    """Return everything that fits a column."""
    if column.choices:
        return st.sampled_from(column.choices)
    if column.pattern == DATE:
        return st.dates().map(str).flatmap(lambda day: st.sampled_from([day, day[:7], day[:4]]))
    if column.pattern and column.type == "text":
        return st.from_regex(re.compile(column.pattern, re.ASCII), fullmatch=True)
    if column.type == "json":
        return st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=3).map(json.dumps)
    if column.type == "time":
        return st.datetimes().map(lambda time: f"{time:%Y-%m-%dT%H:%M:%S}Z".zfill(20))
    if column.type == "boolean":
        return st.booleans()
    if column.type == "integer":
        least = int(column.minimum) if column.minimum is not None else -(2**63)
        return st.integers(least, 2**200 if column.wide else 2**63 - 1)
    if column.type == "number":
        least = column.above if column.above is not None else column.minimum
        return st.floats(
            least,
            exclude_min=column.above is not None,
            allow_nan=False,
            allow_infinity=column.infinite and None,
        )
    return TEXTS


def rows():
    return st.fixed_dictionaries({c.name: st.none() | values(c) for c in COLUMNS})


def write(path, *written):
    path.unlink(missing_ok=True)
    with ResultFile.create(path) as file:
        for row in written:
            file.append(row)


def read(path, content, notice=None):
    path.write_bytes(content)
    return read_rows(path, notice)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("reader") / "r.csv"


@given(rows=st.lists(rows(), min_size=1, max_size=3))
def test_round_trip(scratch, rows):
    for row in rows:
        row["schema_version"] = 1
    write(scratch, *rows)
    with scratch.open("rb") as stream:
        returned = rows_of(scan(stream, "r.csv", pytest.fail), "r.csv")
    assert returned == rows
    for row, original in zip(returned, rows, strict=True):
        for name in NAMES:
            assert type(row[name]) is type(original[name]), name
    lines = scratch.read_bytes().split(b"\r\n")
    assert len(lines) == len(rows) + 2
    assert all(b"\n" not in line and b"\r" not in line for line in lines)


@given(st.text(st.characters(), min_size=1))
def test_any_text_is_one_line_of_utf8_that_no_spreadsheet_computes(text):
    cell = format_cell(BY_NAME["error"], text)
    cell.encode()
    assert len(cell.splitlines()) <= 1
    assert not cell.lstrip().startswith(tuple("=+-@＝＋－＠"))
    assert format_cell(BY_NAME["error"], parse_cell(BY_NAME["error"], cell)) == cell


@given(st.floats() | st.integers() | st.text() | st.booleans() | st.binary())
def test_whatever_a_backend_returns_the_row_can_be_written_and_read(value):
    for column in COLUMNS:
        cells = format_row({column.name: value})
        for other, cell in zip(COLUMNS, cells, strict=True):
            parse_cell(other, cell)


def test_numpys_numbers_are_numbers():
    numpy = pytest.importorskip("numpy")
    assert format_cell(BY_NAME["m"], numpy.int32(7)) == "7"
    assert format_cell(BY_NAME["power_w"], numpy.float64(0.1)) == "0.1"
    assert format_cell(BY_NAME["simulated"], numpy.bool_(True)) == "true"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-dirty", "'-dirty"),
        ("'=1", "''=1"),
        ("\t=1", "' =1"),
        ("'tis", "'tis"),
        ("a\0b\x1b[31m\r\n", "a b [31m "),
        ("\ud800", "\\ud800"),
        ("x" * 9000, "x" * (LONGEST_TEXT - 1) + "…"),
        ("", ""),
    ],
)
def test_texts_that_are_changed(text, cell):
    assert format_cell(BY_NAME["error"], text) == cell


@pytest.mark.parametrize("name", ["golden.csv", "golden-before-rounds.csv"])
def test_golden_file(name):
    first, second, third = read_rows(GOLDEN.with_name(name))
    assert first["rounds"] == (3 if name == GOLDEN.name else None)
    assert first["host"] == "=cmd()"
    assert first["simulated"] is False
    assert first["time_median_s"] == 2.5e-5
    assert second["status"] == "timeout"
    assert second["time_median_s"] is None
    assert third["rel_error"] == 0.30000000000000004
    assert type(third["tolerance"]) is float


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [b"", b"\n", b"\r\n\r\n"])
def test_other_programs_csv(scratch, mark, line_end, last):
    content = mark + GOLDEN.read_bytes().rstrip().replace(b"\r\n", line_end) + last
    content = content.replace(b",false,", b",FALSE,")
    assert read(scratch, content) == read_rows(GOLDEN)


def test_columns_in_another_order_and_of_ones_own(scratch):
    lines = GOLDEN.read_bytes().decode().splitlines()
    turned = "\n".join(
        f"{title},{line}" for title, line in zip(["note", *"abc"], lines, strict=True)
    )
    notices = []
    assert read(scratch, turned.encode(), notices.append) == read_rows(GOLDEN)
    assert [str(notice) for notice in notices] == [
        "line 1: note: not a column of result files; not read"
    ]
    with pytest.warns(UserWarning, match="note"):
        read_rows(scratch)


def test_cells_with_line_breaks(scratch):
    content = GOLDEN.read_bytes().replace(b",'=cmd(),", b',"two\r\nlines",')
    assert read(scratch, content)[0]["host"] == "two lines"


def test_a_header_alone(scratch):
    assert read(scratch, record(NAMES)) == []
    assert read(scratch, record(NAMES).rstrip()) == []


def test_cut_off_at_every_byte(scratch):
    """All whole rows are read; what is left of the last one is used only if nothing is missing."""
    content, whole = GOLDEN.read_bytes(), read_rows(GOLDEN)
    ends = [at + 1 for at, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(ends[0], len(content)):
        notices = []
        returned = read(scratch, content[:cut], notices.append)
        count = sum(end <= cut for end in ends) - 1
        assert returned[:count] == whole[:count]
        if cut in ends:
            assert not notices
            assert len(returned) == count
        elif notices:
            assert str(notices[0]) == f"line {count + 2}: cut off before its end; left out"
            assert len(returned) == count
        else:
            assert {**returned[count], "warnings": None} == {**whole[count], "warnings": None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n1,2\n", "not the columns of a result file: schema_version is missing"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "not UTF-8|no text"),
        (b"\0" * 5000, "line 1 is no text"),
        (b"x" * (1 << 21), "line 1 is no text"),
        ("schema_version,m\n1,ü\n".encode("utf-16"), "not UTF-8|no text"),
        (b"schema_version,m\n99,1\n", "schema version 99.* reads up to 1"),
        (b"schema_version,m\n1,1\n", f"{NEEDED - 2} of {len(NAMES)} are missing"),
        (b"schema_version,m\n", f"{NEEDED - 2} of {len(NAMES)} are missing"),
    ],
)
def test_what_is_no_result_file(scratch, content, message):
    with pytest.raises(UsageError, match=message) as caught:
        read(scratch, content)
    assert str(caught.value).startswith(str(scratch))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("time_median_s", "time_medain_s", r"missing column time_median_s \(did you mean"),
        ("host,config", "config,config", r"missing column host\n.*column config appears twice"),
        (
            ",2.5e-05,",
            ',"0,000025",',
            "line 2: time_median_s: .*'0,000025', but other numbers .* a decimal point",
        ),
        (",2.5e-05,", ",nan,", "line 2: time_median_s: expected a finite number above 0"),
        (",2.5e-05,", ",inf,", "line 2: time_median_s: expected a finite number above 0"),
        (
            ",2.5e-05,",
            ",-1,",
            "line 2: time_median_s: expected a finite number above 0, found '-1'",
        ),
        (",2.5e-05,", ",0,", "line 2: time_median_s"),
        (",2.5e-05,", ",1e999,", "line 2: time_median_s"),
        (",2.5e-05,", ", 1,", "line 2: time_median_s"),
        (",2.5e-05,", ",1_0,", "line 2: time_median_s"),
        (",64,32,16,", ",6.4E+01,32,16,", "line 2: m: expected an integer of at least 1"),
        (",64,32,16,", ",64,32,9223372036854775808,", "line 2: k: expected an integer"),
        (",64,32,16,", ",٦٤,32,16,", "line 2: m: expected an integer"),
        (",ok,", ",fine,", "line 2: status: expected one of ok, unsupported,"),
        (",false,", ",no,", "line 2: simulated: expected true or false, found 'no'"),
        ("2026-01-02T03:04:05.678Z", "02.01.2026 03:04", "line 2: started_at: expected a time"),
        ("c" * 64, "cafe", "line 2: config_sha256: expected 64 hexadecimal digits, found 'cafe'"),
        (",cpu,cpu,", ",cpu,", f"line 2: {len(NAMES) - 1} cells, but the header has {len(NAMES)}"),
        (",cpu,cpu,", ',cpu,"cpu,', "line 2: not CSV: "),
        (",cpu,cpu,", ',cpu,"cp"u,', "line 2: not CSV: "),
    ],
)
def test_a_wrong_cell_is_named(scratch, old, new, message):
    text = GOLDEN.read_bytes().decode()
    assert old in text
    with pytest.raises(UsageError, match=message):
        read(scratch, text.replace(old, new, 1).encode())


def test_an_open_quote_does_not_swallow_the_rest_unnoticed(scratch):
    content = GOLDEN.read_bytes().replace(b",cpu,cpu,", b',cpu,"cpu,', 1)[:-20]
    with pytest.raises(UsageError, match="line 2: not CSV"):
        read(scratch, content)


@pytest.mark.parametrize(("where", "message"), [("none.csv", "no such file"), (".", "is a folder")])
def test_what_cannot_be_opened(tmp_path, where, message):
    with pytest.raises(UsageError, match=message):
        read_rows(tmp_path / where)


def test_a_reader_sees_whole_rows_while_they_are_written(tmp_path, ok):
    path = tmp_path / "r.csv"
    with ResultFile.create(path) as file:
        for count in itertools.count(1):
            file.append(ok(count))
            assert len(read_rows(path)) == count
            if count == 5:
                break
