"""Writes a result file so that no finished row can be lost, whatever happens to the process.

The file is only ever appended to, one whole record a write, flushed to the disk before the next case
begins. A record never holds a newline, so a line is a record and a half-written one is easily told.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from bench.errors import BenchError, UsageError
from bench.results.cells import format_row
from bench.results.reader import parse_text
from bench.results.schema import NAMES

Row = Mapping[str, object]
LINE_END = "\r\n"  # RFC 4180, section 2


def record(cells: Sequence[str]) -> bytes:
    """Return one line of the file."""
    text = io.StringIO()
    csv.writer(text, lineterminator=LINE_END).writerow(cells)
    return text.getvalue().encode()


class ResultFile:
    """A result file that is open for appending, and locked against a second run."""

    def __init__(
        self, path: Path, descriptor: int, rows: list[dict[str, object]], notes: list[str]
    ) -> None:
        """Use `create` or `resume`."""
        self.path = path
        self.rows = rows
        self.notes = notes
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    @classmethod
    def create(cls, path: Path, *, force: bool = False) -> ResultFile:
        """Begin a file. Raises UsageError where one exists and `force` is not given.

        With `force`, the old file is replaced once the lock on it is held.
        """
        _refuse_folder(path)
        _make_folder(path)
        exists = path.exists()
        if exists and not force:
            raise UsageError(
                f"{path} exists; --resume goes on with it, --force replaces it, -o names another"
            )
        descriptor = _open_locked(path, os.O_CREAT | (0 if exists else os.O_EXCL))
        os.ftruncate(descriptor, 0)
        file = cls(path, descriptor, [], [])
        file._write(record(NAMES))
        return file

    @classmethod
    def resume(cls, path: Path) -> ResultFile:
        """Open a file to go on with it.

        A half-written last record and trailing `interrupted` rows, which hold no measurement, are
        cut off and mentioned in `notes`; all before stays as it is. Raises UsageError for what is
        not a result file of this version.
        """
        _refuse_folder(path)
        if not path.exists():
            raise UsageError(f"--resume: {path} does not exist; leave --resume out to begin it")
        descriptor = _open_locked(path, 0)
        try:
            return cls._resume(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def _resume(cls, path: Path, descriptor: int) -> ResultFile:
        with os.fdopen(os.dup(descriptor), "rb") as file:
            file.seek(0)
            content = file.read()
        notes = []
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            if not record(NAMES).startswith(content):
                raise UsageError(f"{path}: not a result file")
            os.ftruncate(descriptor, 0)
            fresh = cls(path, descriptor, [], ["the file held no row yet"])
            fresh._write(record(NAMES))
            return fresh
        if len(whole) < len(content):
            notes.append(f"{path}: cut off a half-written row at its end")
        try:
            text = whole.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UsageError(f"{path}: not a result file: not UTF-8") from None
        rows = parse_text(text, str(path))
        while rows and rows[-1]["status"] == "interrupted":
            rows.pop()
            whole = whole[: whole.rstrip(b"\r\n").rfind(b"\n") + 1]
        os.ftruncate(descriptor, len(whole))
        return cls(path, descriptor, rows, notes)

    def append(self, row: Row) -> None:
        """Write a row and wait until the disk has it.

        Raises BenchError where it cannot be written; the file ends with the last whole row then.
        """
        self._write(record(format_row(row)))
        self.rows.append(dict(row))

    def _write(self, data: bytes) -> None:
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self._size + written)
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, self._size)
            count = len(self.rows)
            raise BenchError(
                f"{self.path}: cannot write: {error.strerror}; {count} row{'s' * (count != 1)} "
                "before this one are safe; make room, then go on with --resume"
            ) from None
        self._size += len(data)

    def close(self) -> None:
        """Close the file and give the lock back."""
        os.close(self._descriptor)

    def __enter__(self) -> ResultFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_same_run(rows: Sequence[Row], identity: Mapping[str, object]) -> None:
    """Raise UsageError, naming each difference, if rows come from another kind of run."""
    differences = []
    for name, here in identity.items():
        there = {row[name] for row in rows} - {here}
        if there:
            values = ", ".join(sorted(str(value) for value in there))
            differences.append(f"--resume: {name} is {here} now, but {values} in the file")
    if differences:
        raise UsageError("\n".join([*differences, "take another file with -o, or make them equal"]))


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make the folder {path.parent} for the result file: {error.strerror}; "
            "name another file with -o"
        ) from None


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file with -o")


def _open_locked(path: Path, flags: int) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o644)
    except OSError as error:
        raise UsageError(
            f"cannot open {path}: {error.strerror}; name another file with -o"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise UsageError(
            f"{path}: another run is writing this file; wait for it, or name another with -o"
        ) from None
    return descriptor
