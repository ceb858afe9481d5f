"""The way back from frames to rows: the same values as the reader's, whatever was done to the frame."""

from __future__ import annotations

import pytest

from bench.results import frame_rows as module
from bench.results.frame_rows import frame_rows
from bench.results.load import load
from bench.results.published import published_folder
from bench.results.reader import read_rows
from tests.results.bad_files import sound
from tests.results.conftest import make_failed_row, make_row


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_rows_are_those_of_the_reader(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(module, "CHUNK", chunk)
    path = tmp_path / "r.csv"
    path.write_bytes(
        sound(
            make_row(flops=2**70, warnings="too fast"), make_failed_row("error", 65), make_row(66)
        )
    )
    returned = list(frame_rows(load(path).drop(columns="file")))
    expected = read_rows(path)
    assert returned == expected
    for row, other in zip(returned, expected, strict=True):
        assert [type(value) for value in row.values()] == [type(value) for value in other.values()]


def test_order_and_choice_are_the_frames(tmp_path):
    path = published_folder() / "ascend-910b2.csv"
    frame, rows = load(path), read_rows(path)
    chosen = frame[["m", "source", "time_median_s"]].iloc[[5, 0, 5]]
    assert list(frame_rows(chosen)) == [
        {name: rows[place][name] for name in chosen.columns} for place in (5, 0, 5)
    ]
