"""Ceilings: where they are kept, when they apply, and how they change limits."""

from __future__ import annotations

import pytest

from bench.backend import Limits
from bench.errors import UsageError
from bench.results.ceilings import (
    SAME_PLACE,
    Ceilings,
    choose_ceilings,
    find_kept,
    keep,
    kept_path,
    read_ceilings,
)
from tests.results.conftest import make_failed_row, make_row, write


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """An empty data folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def row():
    """A row as a search leaves it."""
    return make_row(config="ceiling")


def place(row, **changes):
    return {**{name: row.get(name) for name in SAME_PLACE}, **changes}


def test_what_is_kept_is_found_on_the_same_device(tmp_path, row):
    path = write(tmp_path / "found.csv", row)
    assert find_kept(place(row)) == (None, None)
    keep(path, place(row))
    kept, note = find_kept(place(row))
    assert kept == read_ceilings(path)
    assert kept.tflops == {row["dtype"]: row["achieved_tflops"]}
    assert str(kept_path(place(row))) in note
    assert choose_ceilings(None, {0: place(row)})[0] == {0: kept}
    assert choose_ceilings("none", {0: place(row)}) == ({}, [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"torch": "2.6.0"}, "torch is 2.6.0, there"),
        ({"driver": "1"}, "driver is 1, there"),
        ({"chip": "other"}, "chip is other, there"),
        ({"simulated": True}, "simulated is True, there False"),
    ],
)
def test_another_state_is_told_and_not_used(tmp_path, row, changes, said):
    keep(write(tmp_path / "found.csv", row), place(row))
    kept, note = find_kept(place(row, **changes))
    assert kept is None
    assert "not used" in note
    assert said in note


def test_a_damaged_file_is_told_and_not_used(tmp_path, row):
    keep(write(tmp_path / "found.csv", row), place(row))
    kept_path(place(row)).write_text("nonsense\n1\n")
    kept, note = find_kept(place(row))
    assert kept is None
    assert "ceilings not used" in note


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([make_row()], "has no ceilings"),
        ([make_failed_row("timeout", config="ceiling")], "has no ceilings"),
        ([make_row(config="ceiling"), make_row(65, config="ceiling", host="b")], "several devices"),
    ],
)
def test_files_without_ceilings(tmp_path, rows, message):
    with pytest.raises(UsageError, match=message):
        read_ceilings(write(tmp_path / "found.csv", *rows))


def test_limits_keep_what_is_not_known_better():
    ceilings = Ceilings({"float32": 2.0}, 90.0, "a search", {})
    before = Limits(peak_tflops=3.0, ceiling_gbps=50.0, ceiling_source="the backend")
    after = ceilings.applied(before, "float32")
    assert (after.peak_tflops, after.ceiling_tflops, after.ceiling_gbps) == (3.0, 2.0, 90.0)
    assert after.ceiling_source == "a search"
    other = ceilings.applied(before, "int8")
    assert (other.ceiling_tflops, other.ceiling_gbps) == (None, 90.0)
    nothing = Ceilings({"float32": 2.0}, None, "a search", {}).applied(before, "int8")
    assert nothing == before
