"""Standard streams that do not fail: a run must not end because the reader of its output did."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator


class LastingDescriptor(io.RawIOBase):
    """A file descriptor for writing that discards everything after the first error.

    `error` is that error. A closed pipe does not count as one: its reader had enough.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._discards = False
        self.error: OSError | None = None

    def write(self, data: object) -> int:
        """Write to the descriptor; return the number of bytes written or discarded."""
        view = memoryview(data)  # type: ignore[arg-type]  # io passes a buffer
        while not self._discards:
            try:
                return os.write(self._descriptor, view)
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError as error:
                self._discards = True
                self.error = None if error.errno == errno.EPIPE else error
        return len(view)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether the descriptor is a terminal."""
        return os.isatty(self._descriptor)


class LastingText(io.TextIOWrapper):
    """A text stream that hides the bytes beneath it.

    Where a stream is ASCII, click would write UTF-8 to these bytes instead of replacing characters.
    """

    buffer = None  # type: ignore[assignment]


def open_standard_streams() -> LastingDescriptor:
    """Replace the standard streams by ones that do not fail; return the descriptor of standard output.

    Closed streams, as cron and daemons leave them, are opened on /dev/null: otherwise a pipe to a worker
    would get their number. Characters that a stream cannot encode are replaced by question marks.
    """
    for number in _closed():
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        os.set_inheritable(number, True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for good
    output = LastingDescriptor(1)
    sys.stdout = _text(output, getattr(sys.stdout, "encoding", None))
    sys.stderr = _text(LastingDescriptor(2), getattr(sys.stderr, "encoding", None), flush=True)
    return output


def _closed() -> Iterator[int]:
    """Yield the numbers of the standard streams that are closed, the lowest first."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            yield number


def _text(
    descriptor: LastingDescriptor, encoding: str | None, *, flush: bool = False
) -> LastingText:
    return LastingText(
        io.BufferedWriter(descriptor),
        encoding=encoding or "utf-8",
        errors="replace",
        line_buffering=flush or descriptor.isatty(),
    )
