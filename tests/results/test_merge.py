"""Merging: every row once, none lost, contradictions refused."""

from __future__ import annotations

import json

import pyperf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.results.merge import merge_files, merge_rows
from bench.results.reader import read_rows
from bench.results.samples import samples_path
from bench.results.validate import validate
from tests.results.conftest import write

from .conftest import make_row


def write_samples(path, **values):
    runs = {
        name: pyperf.Run(
            [value] * 3, metadata={"name": name, "case_id": name}, collect_metadata=False
        )
        for name, value in values.items()
    }
    suite = pyperf.BenchmarkSuite([pyperf.Benchmark([run]) for run in runs.values()])
    suite.dump(str(samples_path(path)))


def names(path):
    return sorted(pyperf.BenchmarkSuite.load(str(path)).get_benchmark_names())


def test_files_of_ranks(tmp_path, ok, failed):
    a = write(tmp_path / "a.csv", ok(run_id="a"), failed("timeout", 32, run_id="a"))
    b = write(tmp_path / "b.csv", ok(run_id="b", device_index=1, simulated=True))
    write_samples(a, first=1.0, second=2.0)
    write_samples(b, first=1.5)
    target = tmp_path / "all.csv"
    merged = merge_files([a, b], target, force=False)
    assert merged.simulated == 1
    assert read_rows(target) == [*read_rows(a), *read_rows(b)]
    assert validate(target).problems == []
    assert names(samples_path(target)) == ["first [a]", "first [b]", "second"]


def test_the_bytes_of_a_row_stay_the_same(tmp_path, ok):
    a = write(tmp_path / "a.csv", ok(rel_error=0.1 + 0.2, tolerance=1.0))
    merge_files([a], tmp_path / "all.csv", force=False)
    assert (tmp_path / "all.csv").read_bytes() == a.read_bytes()


def test_a_row_that_is_there_twice_is_taken_once(tmp_path, ok):
    a = write(tmp_path / "a.csv", ok(), ok(32))
    b = write(tmp_path / "b.csv", ok(32), ok(16))
    write_samples(a, x=1.0)
    write_samples(b, x=1.0)
    merged = merge_files([a, b], tmp_path / "all.csv", force=False)
    assert (len(merged.rows), merged.repeated) == (3, 1)
    assert any("1 row was in an earlier file" in note for note in merged.notes)
    assert names(tmp_path / "all.pyperf.json") == ["x"]


def test_rows_that_contradict_each_other_are_refused(tmp_path, ok):
    a = write(tmp_path / "a.csv", ok())
    b = write(tmp_path / "b.csv", ok(host="elsewhere"))
    with pytest.raises(UsageError, match=r"b\.csv: case .*a\.csv as well, with another host"):
        merge_files([a, b], tmp_path / "all.csv", force=False)
    assert not (tmp_path / "all.csv").exists()


def test_nothing_is_replaced_unasked(tmp_path, ok):
    a, target = write(tmp_path / "a.csv", ok()), write(tmp_path / "all.csv", ok(32))
    write_samples(target, old=1.0)
    before = target.read_bytes()
    with pytest.raises(UsageError, match="exists: --force"):
        merge_files([a], target, force=False)
    with pytest.raises(UsageError, match="one of the files"):
        merge_files([a, target], target, force=True)
    assert target.read_bytes() == before
    merge_files([a], target, force=True)
    assert len(read_rows(target)) == 1
    assert not samples_path(target).exists(), "the samples of rows that are gone"
    text = tmp_path / "text.csv"
    text.write_text("a letter")
    with pytest.raises(UsageError, match="not a result file"):
        merge_files([a], text, force=True)
    assert text.read_text() == "a letter"


def test_samples_without_a_result_file_are_not_overwritten(tmp_path, ok):
    a = write(tmp_path / "a.csv", ok())
    (tmp_path / "all.pyperf.json").write_text("precious")
    with pytest.raises(UsageError, match=r"all\.pyperf\.json exists"):
        merge_files([a], tmp_path / "all.csv", force=False)


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"benchmarks": 1, "version": "1.0"}'])
def test_damaged_samples_are_refused(tmp_path, ok, content):
    a = write(tmp_path / "a.csv", ok())
    samples_path(a).write_text(content)
    with pytest.raises(UsageError, match="not a file of samples"):
        merge_files([a], tmp_path / "all.csv", force=False)
    assert not (tmp_path / "all.csv").exists()


def test_missing_samples_are_said(tmp_path, ok):
    a = write(tmp_path / "a.csv", ok())
    merged = merge_files([a], tmp_path / "all.csv", force=False)
    assert any("a.pyperf.json is missing" in note for note in merged.notes)


def test_files_of_the_same_name_in_different_folders(tmp_path, ok):
    paths = []
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        paths.append(write(tmp_path / folder / "a.csv", ok(run_id=folder)))
        write_samples(paths[-1], first=1.0 + len(paths))
    merge_files(paths, tmp_path / "all.csv", force=False)
    run_names = names(tmp_path / "all.pyperf.json")
    assert len(run_names) == 2
    assert all(folder in name for folder, name in zip(("/x/", "/y/"), run_names, strict=True))


def test_the_command(bench, ok):
    write(bench.folder / "a.csv", ok(run_id="a", simulated=True))
    write(bench.folder / "b.csv", ok(run_id="b"))
    done = bench("merge", "a.csv", "b.csv", "-o", "all.csv")
    assert done.stdout.startswith("all.csv: 2 rows of 2 files, 1 of them of simulated devices")
    assert "sound, 2 rows" in bench("validate", "all.csv").stdout
    for arguments, message in (
        (["-o", "x.csv"], "name the result files"),
        (["a.csv"], "Missing option '-o'"),
        (["nothing.csv", "-o", "x.csv"], "nothing.csv: no such file"),
        ([".", "-o", "x.csv"], "is a folder"),
        (["a.csv", "-o", "all.csv"], "exists: --force"),
    ):
        failed = bench("merge", *arguments, status=2)
        assert message in failed.stderr
        assert "Traceback" not in failed.stderr
        assert not (bench.folder / "x.csv").exists()


row = st.builds(
    make_row,
    st.sampled_from([16, 32, 64]),
    **{"run_id": st.sampled_from("ab"), "device_index": st.integers(0, 1)},
)


@given(
    st.lists(
        st.lists(row, max_size=4, unique_by=lambda r: json.dumps(r, sort_keys=True)), max_size=4
    )
)
def test_every_row_is_there_once(files):
    from bench.results.columns import NAMES

    full = [[{name: row.get(name) for name in NAMES} for row in rows] for rows in files]
    merged = merge_rows([(f"{number}.csv", rows) for number, rows in enumerate(full)])
    everything = [json.dumps(row, sort_keys=True) for rows in full for row in rows]
    assert sorted(json.dumps(row, sort_keys=True) for row in merged.rows) == sorted(set(everything))
    assert len(merged.rows) + merged.repeated == len(everything)
