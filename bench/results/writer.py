"""Writes a result file so that no finished row is lost, whatever happens to program or machine.

A record is one line, written at once and forced to disk before the next case begins. Nothing in a
file that exists is changed before there is a new row to put into it, except for a truncated row at its
end.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bench.errors import BenchError, UsageError
from bench.results.cells import format_cell, format_row, parse_cell
from bench.results.columns import BY_NAME, COLUMNS, NAMES, RUN_AGAIN, SCHEMA_VERSION, SHA256, Row
from bench.results.locked_file import lock, make_folder, open_regular, read_at_most, sync_folder
from bench.results.reader import rows_of, scan

CRLF = "\r\n"  # RFC 4180, section 2
BOM = b"\xef\xbb\xbf"


def record(cells: Iterable[str], line_end: str = CRLF) -> bytes:
    """Return one line of the file."""
    text = io.StringIO()
    csv.writer(text, lineterminator=line_end).writerow(cells)
    return text.getvalue().encode()


class ResultFile:
    """A result file that is open to be added to, and locked against a second run.

    `rows` are those it holds, `notes` are messages for the user about opening it.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Use `create` or `resume`."""
        self.path = path
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self._descriptor = descriptor
        self._created = False
        self._line_end = CRLF
        # The file has `_size` bytes; the next record goes to `_end`, and what is behind goes away.
        self._size = os.fstat(descriptor).st_size
        self._end = 0

    @classmethod
    def create(cls, path: Path | str, force: bool = False) -> ResultFile:
        """Begin a file, and the folders it lies in.

        Raises UsageError if there is one already and `force` is not given. With it, the old rows go
        when the first new one is written; what is no result file is not replaced.
        """
        path = Path(path)
        if os.path.isdir(path):  # noqa: PTH112 (Path's own raises for names that are too long)
            raise UsageError(f"{path} is a folder; name a file in it with -o")
        make_folder(path.parent)
        try:
            descriptor = open_regular(path, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            if not force:
                raise UsageError(
                    f"{path} exists: --resume goes on with it, --force replaces it, "
                    "-o names another"
                ) from None
            return cls._locked(path, open_regular(path, 0))._to_be_replaced()
        file = cls._locked(path, descriptor)
        file._created = True
        try:
            file._write(record(NAMES), 0)
            sync_folder(path.parent)
        except BaseException:
            path.unlink(missing_ok=True)
            file.close()
            raise
        return file

    @classmethod
    def resume(cls, path: Path | str) -> ResultFile:
        """Continue a file.

        A truncated row at its end is removed at once. Rows with status `interrupted` or
        `device_lost` at its end, which hold no measurement, are no longer counted, and go when the
        first new row is written.
        Everything else stays as it is, byte for byte. Raises UsageError for what is not a result file with
        these columns in this order.
        """
        path = Path(path)
        if not os.path.lexists(path):
            raise UsageError(f"{path} does not exist, so there is nothing to resume")
        return cls._locked(path, open_regular(path, 0))._to_be_continued()

    @classmethod
    def _locked(cls, path: Path, descriptor: int) -> ResultFile:
        try:
            notes = lock(path, descriptor)
            file = cls(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        file.notes += notes
        return file

    def _to_be_replaced(self) -> ResultFile:
        if not _begins_like_a_result(read_at_most(self._descriptor, 64)):
            self.close()
            raise UsageError(
                f"{self.path} is not a result file: --force does not replace it; remove it, or "
                "name another with -o"
            )
        return self

    def _to_be_continued(self) -> ResultFile:
        try:
            # A file of some other kind may be larger than memory.
            if not _begins_like_a_result(read_at_most(self._descriptor, 64)):
                raise UsageError(f"{self.path} is not a result file: --resume cannot go on with it")
            recovered = recover(read_at_most(self._descriptor, self._size), str(self.path))
            self.rows, self._end, self._line_end = recovered.rows, recovered.end, recovered.line_end
            if recovered.whole < self._size:
                self._write(b"", recovered.whole)
                half = (
                    "a half-written row at its end"
                    if recovered.end
                    else "a half-written first line"
                )
                self.notes.append(f"{self.path}: removed {half}")
            if recovered.again:
                rows = "the row" if recovered.again == 1 else f"{recovered.again} rows"
                self.notes.append(
                    f"{self.path}: measuring {rows} again that had been interrupted, or whose device "
                    "was lost"
                )
        except BaseException:
            self.close()
            raise
        return self

    def append(self, row: Mapping[str, object]) -> None:
        """Write a row, and return when the disk has it.

        Raises BenchError if it cannot be written: the file then ends with the last whole row.
        """
        self.extend([row])

    def extend(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Write rows in one go, and return when the disk has them; raises as `append` does."""
        formatted = [format_row(row) for row in rows]
        begin = b"" if self._end else record(NAMES, self._line_end)
        records = (record(cells, self._line_end) for cells in formatted)
        self._write(begin + b"".join(records), self._end)
        self.rows += [
            dict(zip(NAMES, map(parse_cell, COLUMNS, cells), strict=True)) for cells in formatted
        ]

    def _write(self, data: bytes, start: int) -> None:
        """Let the file end with `data` at `start`, on disk."""
        descriptor = self._descriptor
        status = os.fstat(descriptor)
        if status.st_nlink == 0 or status.st_size != self._size:
            change = "removed" if status.st_nlink == 0 else "changed"
            raise BenchError(
                f"{self.path} was {change} by another program while this run was writing it: "
                "the run cannot go on"
            )
        try:
            if start < self._size:
                os.ftruncate(descriptor, start)
            end = start
            while end < start + len(data):
                end += os.pwrite(descriptor, data[end - start :], end)
            os.fsync(descriptor)
        except OSError as error:
            # Where even this fails, the next to open the file finds half a row.
            with suppress(OSError):
                os.ftruncate(descriptor, start)
                os.fsync(descriptor)
            self._size = os.fstat(descriptor).st_size
            raise BenchError(
                f"{self.path}: cannot write: {error.strerror}; {self._safe()}"
            ) from None
        self._size = end
        if data:
            self._end = end

    def _safe(self) -> str:
        count = len(self.rows)
        rows = {0: "no row was finished before", 1: "1 row is safe"}.get(
            count, f"{count} rows are safe"
        )
        return f"{rows}; go on with --resume"

    def abandon(self) -> None:
        """Close a file that is not to be used after all; one that was created for it is removed."""
        if self._created and not self.rows:
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close the file and give the lock back; may be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> ResultFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Recovered:
    """What can be gone on with: the rows, and the bytes that they and whole lines take.

    `end` is where the next row goes: behind the last that need not run `again`.
    """

    rows: list[Row]
    end: int
    whole: int
    again: int
    line_end: str


def recover(content: bytes, name: str) -> Recovered:
    """Return what a result file's content holds, however it ended; raises UsageError if not one."""
    plain, first = content.removeprefix(BOM), record(NAMES)
    if len(plain) < len(first) and first.startswith(plain):
        return Recovered([], 0, 0, 0, CRLF)
    whole = content[: content.rfind(b"\n") + 1]
    rows = rows_of(scan(io.BytesIO(whole or content), name, lambda problem: None), name)
    lines = whole.splitlines(keepends=True)
    header = lines[0] if lines else content
    line_end = CRLF if header.endswith(b"\r\n") else "\n"
    if header.removeprefix(BOM) != record(NAMES, line_end):
        raise UsageError(f"{name}: --resume takes no file with more columns or another order")
    if any(row["schema_version"] != SCHEMA_VERSION for row in rows):
        raise UsageError(f"{name}: --resume takes only rows of schema version {SCHEMA_VERSION}")
    if len(lines) != 1 + len(rows):
        raise UsageError(
            f"{name}: --resume takes no file with blank lines or line breaks within cells: "
            "another program has written it"
        )
    kept = len(rows)
    while kept and rows[kept - 1]["status"] in RUN_AGAIN:
        kept -= 1
    end = sum(map(len, lines[: kept + 1]))
    return Recovered(rows[:kept], end, len(whole), len(rows) - kept, line_end)


def check_same_run(rows: Iterable[Mapping[str, object]], identity: Mapping[str, object]) -> None:
    """Raise UsageError, a line for each difference, if a run does not belong to the rows of a file.

    It does if each column of `identity` has a value that some row has, too: the devices of one run
    may differ.
    """
    rows = list(rows)
    differences = []
    for name, value in identity.items():
        here, there = _cell(name, value), {_cell(name, row.get(name)): None for row in rows}
        if rows and here not in there:
            values = " and ".join(_shown(cell) for cell in there)
            differences.append(f"the file has {name} {values}, this run {_shown(here)}")
    if differences:
        first = (
            "--resume: the file is of another run; take the same options, or another file with -o"
        )
        raise UsageError("\n".join([first, *differences]))


def _cell(name: str, value: object) -> str:
    """Return a value as a file has it: what does not fit its column is unknown there."""
    try:
        return format_cell(BY_NAME[name], value)
    except ValueError:
        return ""


def _shown(cell: str) -> str:
    """Return a cell for a sentence; of a hash, the beginning."""
    return f"{cell[:12]}…" if re.fullmatch(SHA256, cell) else cell or "unknown"


def _begins_like_a_result(start: bytes) -> bool:
    plain, title = start.removeprefix(BOM), b"schema_version,"
    return plain.startswith(title) or title.startswith(plain)
