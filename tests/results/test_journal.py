"""The journal: whole lines survive whatever happens, and nothing foreign is touched."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError, UsageError
from bench.results.journal import Journal, journal_path

IDENTITY = {"seed": 0, "backend": "cpu"}


@pytest.fixture
def path(tmp_path):
    return journal_path(tmp_path / "r.csv")


def written(path, *entries, identity=IDENTITY):
    journal = Journal(path, identity, keep=False)
    for entry in entries:
        journal.append(entry)
    journal.close(remove=False)


def test_entries_are_read_again(path):
    written(path, {"a": 1}, {"b": "é\n"})
    journal = Journal(path, IDENTITY, keep=True)
    assert journal.entries == [{"a": 1}, {"b": "é\n"}]
    journal.append({"c": 3})
    journal.close(remove=False)
    assert Journal(path, IDENTITY, keep=True).entries == [{"a": 1}, {"b": "é\n"}, {"c": 3}]


def test_nothing_is_written_before_there_is_an_entry(path):
    Journal(path, IDENTITY, keep=False).close(remove=False)
    assert not path.exists()


def test_another_runs_entries_are_not_taken(path):
    written(path, {"a": 1})
    assert Journal(path, {**IDENTITY, "seed": 1}, keep=True).entries == []
    assert Journal(path, IDENTITY, keep=False).entries == []


@given(st.data())
def test_cut_anywhere_the_whole_lines_remain(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "r.journal.jsonl"
    entries = [{"n": n, "text": "x" * n} for n in range(4)]
    written(path, *entries)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    journal = Journal(path, IDENTITY, keep=True)
    kept = max(0, path.read_bytes().count(b"\n") - 1)
    assert journal.entries == entries[:kept]
    journal.append({"new": 1})
    journal.close(remove=False)
    assert Journal(path, IDENTITY, keep=True).entries == [*entries[:kept], {"new": 1}]


@pytest.mark.parametrize("content", ["my diary\n", "[1]\n", '{"kind": "other"}\n', "\x00" * 100])
def test_what_is_no_journal_is_left_alone(path, content):
    path.write_text(content)
    for keep in (True, False):
        with pytest.raises(UsageError, match="not a journal"):
            Journal(path, IDENTITY, keep=keep)
    assert path.read_text() == content


def test_no_link_is_followed_and_no_pipe_waited_for(path, tmp_path):
    target = tmp_path / "target"
    path.symlink_to(target)
    with pytest.raises(UsageError, match=r"r\.journal\.jsonl"):
        Journal(path, IDENTITY, keep=False)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UsageError, match="not a regular file"):
        Journal(path, IDENTITY, keep=False)
    assert not target.exists()


def test_a_full_disk_is_a_sentence(path):
    """The real error of a full device: /dev/full refuses every write."""
    journal = Journal(path, IDENTITY, keep=False)
    journal.append({"a": 1})
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._descriptor)
    os.close(full)
    with pytest.raises(BenchError, match="No space left on device; make room"):
        journal.append({"b": 2})
    journal.close(remove=False)
    assert [json.loads(line) for line in path.read_text().splitlines()][1:] == [{"a": 1}]
