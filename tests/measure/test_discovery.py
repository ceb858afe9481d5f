"""Which devices and implementations the options name."""

from __future__ import annotations

import pytest

from bench.backend import Device
from bench.errors import UsageError
from bench.measure.discovery import choose_devices

PRESENT = [Device(index, "a", "b") for index in (0, 2, 5)]


@pytest.mark.parametrize(
    ("text", "chosen"), [("all", [0, 2, 5]), ("2", [2]), ("5,0", [5, 0]), ("2,2", [2])]
)
def test_devices(text, chosen):
    assert [device.index for device in choose_devices(text, PRESENT)] == chosen


@pytest.mark.parametrize("text", ["", " ", "0,", "-1", "0-2", "٣", "1" * 5000, "0," + "1" * 5000])
def test_what_names_no_device(text):
    with pytest.raises(UsageError, match="is neither an index, a list such as 0,2, nor `all`"):
        choose_devices(text, PRESENT)


def test_a_device_that_is_not_there():
    with pytest.raises(UsageError, match=r"no device 1; present: 0 \(a\), 2 \(a\), 5 \(a\)"):
        choose_devices("0,1", PRESENT)
