"""Routing recorded from a real model: a file that lists the experts of each token.

A CSV file has one token per line, its experts as numbers from zero, and optionally a heading that names
them: expert_0,expert_1 or first,second. An npz file has an integer array `chosen` [tokens, top_k].
docs/moe.md shows how to record one.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import tokenize
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from bench.kernels.routing import MOST_ASSIGNMENTS

LARGEST_BYTES = 1 << 30

# What zipfile and numpy raise for damaged archives, besides ValueError.
UNREADABLE = (
    *(OSError, EOFError, KeyError, TypeError, SyntaxError, MemoryError, OverflowError),
    *(NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)

_EXPERT = re.compile(
    r"(?:experts?|e|top_?k?|k|choice|chosen|selected|slot)[ _-]?(?:(?:id|idx|index)[ _-]?)?[0-9]+"
    r"|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth"
)


def read_trace(
    path: Path,
    *,
    sha256: str | None,
    tokens: int,
    devices: int,
    top_k: int,
    experts: int,
    groups: int,
    topk_groups: int,
) -> NDArray[np.int32]:
    """Read the experts of the first devices · tokens tokens, [.., top_k] int32, ascending per token.

    Raises ValueError, with the offending parameter first, for a trace that cannot be read, that has
    changed since the case was created, or that does not fit the layer.
    """
    chosen = np.sort(_load(path, sha256, top_k)[: devices * tokens], axis=1)
    if len(chosen) < devices * tokens:
        each = f" on each of {devices} devices" if devices > 1 else ""
        raise ValueError(f"tokens: {tokens}{each} is more than the {len(chosen)} tokens in {path}")
    if chosen.min() < 0 or chosen.max() >= experts:
        wrong = chosen.min() if chosen.min() < 0 else chosen.max()
        raise ValueError(f"trace: {path} names expert {wrong}; there are 0 to {experts - 1}")
    twice = np.flatnonzero((np.diff(chosen, axis=1) == 0).any(axis=1))
    if len(twice):
        raise ValueError(f"trace: {path} sends token {twice[0]} to the same expert twice")
    touched = np.sort(chosen // (experts // groups), axis=1)
    most = 1 + int((np.diff(touched, axis=1) > 0).sum(axis=1).max(initial=0))
    if most > topk_groups:
        raise ValueError(
            f"trace: {path} has a token with experts in {most} groups; topk_groups is {topk_groups}"
        )
    return chosen


def read_content(path: Path) -> bytes:
    """Read the bytes of a trace. Raises ValueError if it cannot be read or is too large."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"trace: {path} is not a regular file")
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"trace: {path}: {error.strerror}") from None
    except ValueError as error:
        if str(error).startswith("trace: "):
            raise
        raise ValueError(f"trace: {str(path)!r} cannot be a path: {error}") from None
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"trace: {path} is larger than {LARGEST_BYTES >> 30} GiB")
    return content


@lru_cache(maxsize=4)
def _load(path: Path, sha256: str | None, top_k: int) -> NDArray[np.int32]:
    content = read_content(path)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"trace: {path} has changed since the case was created")
    if path.suffix == ".npz":
        return _checked(path, _from_npz(path, content, top_k), top_k)
    return _checked(path, _from_csv(path, content), top_k)


def _check_shape(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], top_k: int) -> None:
    if len(shape) != 2 or min(shape) < 1 or not np.issubdtype(dtype, np.integer):
        raise ValueError(
            f"trace: {path}: expected integers [tokens, top_k], got {dtype} {str(list(shape))[:60]}"
        )
    if shape[0] * shape[1] > MOST_ASSIGNMENTS:
        raise ValueError(
            f"trace: {path} has {shape[0]} tokens; at most {MOST_ASSIGNMENTS // top_k} are read"
        )
    if shape[1] != top_k:
        raise ValueError(f"top_k: {path} has {shape[1]} experts per token, not {top_k}")


def _checked(path: Path, array: NDArray[Any], top_k: int) -> NDArray[np.int32]:
    _check_shape(path, array.dtype, array.shape, top_k)
    if array.min() < np.iinfo(np.int32).min or array.max() > np.iinfo(np.int32).max:
        raise ValueError(f"trace: {path}: expert numbers need more than 32 bits")
    return array.astype(np.int32)


def _from_npz(path: Path, content: bytes, top_k: int) -> NDArray[Any]:
    """Read the array `chosen`, its header first: a small file may announce, or unpack to, a huge array."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise ValueError(f"trace: {path} is not an npz file")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if "chosen" not in names:
                known = ", ".join(names) or "none"
                raise ValueError(f"trace: {path} has no array `chosen`; its arrays: {known}")
            with archive.open("chosen.npy") as file:
                version = npy.read_magic(file)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, _, dtype = read(file)
        _check_shape(path, dtype, shape, top_k)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return np.asarray(arrays["chosen"])
    except ValueError as error:
        if str(error).startswith(("trace: ", "top_k: ")):
            raise
        raise ValueError(f"trace: {path} cannot be read: {error}") from None
    except UNREADABLE as error:
        raise ValueError(f"trace: {path} cannot be read: {error}") from None


def _from_csv(path: Path, content: bytes) -> NDArray[np.generic]:
    try:
        lines = [line for line in content.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise ValueError(f"trace: {path} is not UTF-8 text") from None
    header = bool(lines) and lines[0].lstrip('" ')[:1].isalpha()
    if header:
        _check_heading(path, lines[0])
    rows: list[list[int]] = []
    for number, line in enumerate(lines[header:], start=1 + header):
        cells = [cell.strip() for cell in line.split(",")]
        if not all(re.fullmatch("-?[0-9]{1,18}", cell) for cell in cells):
            raise ValueError(
                f"trace: {path}, line {number}: expected integers separated by commas, got "
                f"{line[:40]!r}"
            )
        rows.append([int(cell) for cell in cells])
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(
                f"trace: {path}, line {number}: {len(rows[-1])} experts; earlier lines have {len(rows[0])}"
            )
    return np.array(rows, np.int64)


def _check_heading(path: Path, line: str) -> None:
    """Refuse a heading whose columns are something else than the experts of a token."""
    names = [name.strip(' "').lower() for name in line.split(",")]
    if names == ["expert"] or all(map(_EXPERT.fullmatch, names)):
        return
    raise ValueError(
        f"trace: {path}: the heading {line[:60]!r} names columns that are not the experts of a token; "
        "expected integers [tokens, top_k]: one token per line, and in each column one of its experts, "
        "headed expert_0,expert_1,… or not at all"
    )
