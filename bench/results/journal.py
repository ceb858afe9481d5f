"""Keeps the visits of cases that have no row yet, so that a run may be killed at any moment.

A row is written when a case has had its last visit. Until then its visits are lines of a journal
beside the result file, each on disk before the next visit begins; `--resume` continues from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import BenchError, UsageError
from bench.results.sidecar import read_sidecar, remove_leftover, replace_sidecar, write_all

KIND = "accelerator-bench journal"
VERSION = 1

Entry = dict[str, Any]


def journal_path(csv: Path) -> Path:
    """Return where the journal of a result file lies: NAME.csv → NAME.journal.jsonl."""
    return csv.with_suffix(".journal.jsonl")


class Journal:
    """An open journal; `entries` are those of an earlier call of the same run.

    The lock of the result file is the journal's, too.
    """

    def __init__(self, path: Path, identity: Mapping[str, object], *, keep: bool) -> None:
        """Begin a journal; with `keep` continue one whose identity is the same.

        Raises UsageError where another kind of file has the name, which is left alone.
        """
        self.path = path
        self.entries: list[Entry] = []
        self._lines: list[bytes] = [
            _line({"kind": KIND, "version": VERSION, "identity": dict(identity)})
        ]
        self._descriptor: int | None = None
        content = read_sidecar(path)
        remove_leftover(path)
        if content is None:
            return
        whole = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
        if not _is_journal(content, whole):
            raise UsageError(
                f"{path} is not a journal of this program, but would be replaced by one: move it "
                "away, or name another file with -o"
            )
        if keep and whole[:1] == self._lines:
            self.entries = [json.loads(line) for line in whole[1:]]
            self._lines = whole

    def append(self, entry: Entry) -> None:
        """Write a line, and return when the disk has it. Raises BenchError if that fails."""
        line = _line(entry)
        try:
            if self._descriptor is None:
                self._descriptor = replace_sidecar(self.path, b"".join(self._lines))
            write_all(self._descriptor, line)
        except OSError as error:
            raise BenchError(
                f"{self.path}: cannot write: {error.strerror}; make room, then go on with --resume"
            ) from None

    def close(self, *, remove: bool) -> None:
        """Close the journal; `remove` it where every case has its row."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if remove:
            self.path.unlink(missing_ok=True)


def _line(entry: Mapping[str, object]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _is_journal(content: bytes, lines: list[bytes]) -> bool:
    """Return whether this is a journal, whole or cut off in its first line."""
    start = json.dumps({"kind": KIND}).encode()[:-1]
    if not (content.startswith(start) or start.startswith(content)):
        return False
    try:
        return all(isinstance(json.loads(line), dict) for line in lines)
    except ValueError:
        return False
