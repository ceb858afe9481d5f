"""pandas' parser on a result file, with what it lets pass unnoticed made noticeable.

It fills up short records, and takes a column of numbers that holds only true and false for ones and zeros.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from bench.results.dialect import Dialect
from bench.results.reader import LONGEST_LINE, open_result

# pandas fills up short records unnoticed; a last cell behind every line shows which were whole.
WHOLE = "~"
MARK = b",~\n"

# Older versions of pandas are off in a float's last digit unless they are told not to be.
EXACT = {} if int(pd.__version__.split(".")[0]) >= 3 else {"float_precision": "round_trip"}


class Unsound(Exception):
    """The fast way found something that only the slow one can name."""


class MarkedLines:
    """The records of a file as pandas reads them: marked at their ends, without the header.

    What stands behind the last line end is kept back in `rest`.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.header = stream.readline()
        self.rest = b""
        self.count = 1  # lines so far

    def read(self, size: int = -1) -> bytes:
        """Return the next lines, about `size` bytes."""
        block = self._stream.read(max(size, 1 << 20))
        if not block:
            return b""
        whole, end, rest = (self.rest + block).rpartition(b"\n")
        self.rest = rest
        self.count += whole.count(b"\n") + len(end)
        if len(rest) > LONGEST_LINE:
            raise Unsound
        lines = whole + end
        if b"\r" in lines:
            lines = lines.replace(b"\r\n", b"\n")
        if b"\0" in lines or b"\r" in lines or lines.startswith(b"\n"):
            raise Unsound
        while b"\n\n" in lines:
            lines = lines.replace(b"\n\n", b"\n")
        return lines.replace(b"\n", MARK) or self.read(size)

    def __iter__(self) -> Iterator[bytes]:
        """Be a stream, as pandas asks."""
        return iter(self.read, b"")

    def last_line(self) -> BinaryIO:
        """Return the header and what stands behind the last line end."""
        return io.BytesIO(self.header + self.rest)


def read_chunks(
    lines: MarkedLines, header: list[str], kinds: dict[str, str], dialect: Dialect, size: int
) -> Any:
    """Return an iterator over parts of `size` rows; the column WHOLE says which records are whole."""
    return pd.read_csv(
        lines,  # type: ignore[call-overload]
        header=None,
        names=[*header, WHOLE],
        index_col=False,
        usecols=[*kinds, WHOLE],
        dtype={**kinds, WHOLE: "object"},
        keep_default_na=False,
        na_values=["" if dialect.missing is None else dialect.missing, ""],
        **EXACT,
        chunksize=size,
        low_memory=False,
        encoding="utf-8",
    )


def zeros_and_ones(cells: pd.Series[Any]) -> bool:
    """Return whether a column of numbers has nothing else, and so may have been true and false."""
    values = cells.to_numpy()
    return bool((np.isnan(values) | (values == 0) | (values == 1)).all())


def refuse_booleans(file: Path, header: list[str], names: list[str], dialect: Dialect) -> None:
    """Raise Unsound if true or false stands in a column of numbers, which pandas takes for 1 or 0."""
    with open_result(file) as stream:
        for chunk in read_chunks(
            MarkedLines(stream), header, dict.fromkeys(names, "object"), dialect, 1 << 16
        ):
            for name in names:
                if any(str(text).lower() in ("true", "false") for text in chunk[name].unique()):
                    raise Unsound
