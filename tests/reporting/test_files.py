"""Writing pages and pictures: all of them or none, and only over regular files."""

from __future__ import annotations

import os

import pytest

from bench.errors import UsageError
from bench.reporting.files import write_all


@pytest.mark.parametrize("plant", [os.mkfifo, os.mkdir])
def test_pipes_and_folders_are_not_replaced(tmp_path, plant):
    """The same holds for devices: `-o /dev/full --force` must not replace /dev/full."""
    target = tmp_path / "target"
    plant(target)
    before = target.lstat().st_ino
    files = {tmp_path / "a.html": b"a", target: b"b"}
    with pytest.raises(UsageError, match="target: cannot write: is a folder, a pipe or a device"):
        write_all(files, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert target.lstat().st_ino == before


def test_a_link_in_the_place_of_the_half_written_file_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "a.html.part").symlink_to(victim)
    write_all({tmp_path / "a.html": b"a"}, force=False)
    assert victim.read_text() == "precious"
    assert (tmp_path / "a.html").read_bytes() == b"a"
