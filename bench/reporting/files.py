"""Writes several files, or none of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bench.errors import UsageError


def write_all(files: Mapping[Path, bytes], *, force: bool) -> None:
    """Write the files, and folders that they need. Raises UsageError, with nothing written.

    A file that is there already is replaced only by `force`, and only when all others are ready; a pipe or a
    device is never replaced.
    """
    there = [str(path) for path in files if os.path.lexists(path)]
    if there and not force:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise UsageError(f"{there[0]}{more} exists: --force replaces it, another name keeps it")
    partial: list[Path] = []
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():
                raise OSError(0, "is a folder, a pipe or a device", str(path))
            part = path.with_name(f"{path.name}.part")
            part.unlink(missing_ok=True)  # a run that was killed may have left one
            with part.open("xb") as file:
                partial.append(part)
                file.write(data)
        for path, part in zip(files, partial, strict=True):
            part.replace(path)
    except OSError as error:
        for part in partial:
            part.unlink(missing_ok=True)
        raise UsageError(f"{error.filename or path}: cannot write: {error.strerror}") from None
