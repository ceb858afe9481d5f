"""What nccl-tests' JSON says, until a kernel describes collectives."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.importers.formats import import_file
from bench.importers.nccl_tests import CollectiveTime, collective_times

GOLDEN = Path(__file__).parents[1] / "data" / "importers" / "nccl-tests.json"


def test_golden_file():
    shared = {"operation": "all_reduce", "dtype": "float", "size_bytes": 1 << 20, "ranks": 2}
    shared |= {"device": "NVIDIA H100 80GB HBM3"}
    assert list(collective_times(GOLDEN)) == [
        CollectiveTime(**shared, in_place=False, time_s=pytest.approx(20.5e-6)),
        CollectiveTime(**shared, in_place=True, time_s=pytest.approx(20.25e-6)),
    ]


def test_they_are_counted():
    result = import_file(GOLDEN, "nccl-tests", chip=None, source="a test", date=None)
    assert result.rows == []
    ((reason, count),) = result.skipped.items()
    assert (reason, count) == (
        "all_reduce: a collective, which no kernel of bench describes yet",
        2,
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"end_time": "2026-07-10 10:00:09"}', "", "not JSON, or cut off"),
        ('"results"', '"rows"', "no 'results'"),
        ('"time": 20.5', '"cpu_time": 20.5', "result 1, out_of_place: no 'time'"),
        ('"time": 20.5', '"time": -1', "result 1, out_of_place, time: expected a number above 0"),
        ('51.15, "nwrong": 0', '51.15, "nwrong": 3', "out_of_place has wrong elements"),
        ('"device_info"', '"name"', "devices: no 'device_info'"),
        ('HBM3"}]}', 'HBM3e"}]}', "devices of one kind"),
        ('"args": ["./build/all_reduce_perf", ', '"args": ["", ', "the name of the test"),
    ],
)
def test_bad_files(tmp_path, old, new, message):
    text = GOLDEN.read_text()
    assert old in text
    path = tmp_path / "bad.json"
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=message):
        list(collective_times(path))
