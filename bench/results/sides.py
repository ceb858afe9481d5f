"""The devices of a comparison: result rows by chip, or by file where the chip is the same."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.results.load import load, path_text
from bench.results.samples import read_samples

if TYPE_CHECKING:
    import pandas as pd

# More would hold more memory than they save time.
FILES_AT_ONCE = 2

Samples = dict[tuple[str, str], list[list[float]]]


@dataclass(frozen=True)
class Sides:
    """Rows by label, in order, and the path that each label comes from."""

    frames: dict[str, pd.DataFrame]
    paths: dict[str, Path]


def load_sides(paths: Sequence[Path | str], columns: Collection[str] | None = None) -> Sides:
    """Return the sides of a comparison.

    Each path (a file, folder or glob) is a side, or if it holds several chips, each of them. A side's
    label is its chip; of sides with the same chip, the file or folder is the label.
    """
    wanted = None if columns is None else {*columns, "chip"}
    given = list(map(Path, paths))
    # pandas' parser lets other threads run while it parses.
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        frames = list(pool.map(partial(load, columns=wanted), given))
    return _labelled(list(zip(given, frames, strict=True)))


def sides_of(frames: Sequence[pd.DataFrame]) -> Sides:
    """Return the sides that frames from `load` are, labelled as their files would be."""
    return _labelled([(_origin(frame), frame) for frame in frames])


def samples_behind(frames: Mapping[str, pd.DataFrame]) -> dict[str, Samples]:
    """Return the samples behind the files of each side."""
    return {label: frame_samples(frame) for label, frame in frames.items()}


def frame_samples(frame: pd.DataFrame) -> Samples:
    """Return the samples behind the files of a frame, without those that two files have."""
    samples: Samples = {}
    twice: set[tuple[str, str]] = set()
    for file in _files(frame):
        for key, runs in read_samples(file).items():
            if key in samples:
                twice.add(key)
            samples[key] = runs
    return {key: runs for key, runs in samples.items() if key not in twice}


def _labelled(parts: Sequence[tuple[Path, pd.DataFrame]]) -> Sides:
    entries: list[tuple[Path, str, pd.DataFrame]] = []
    for path, frame in parts:
        chips = list(dict.fromkeys(frame["chip"].astype(str)))
        if not chips:
            raise UsageError(f"{path}: has no rows")
        for chip in chips:
            entries.append((path, chip, frame[(frame["chip"] == chip).to_numpy(bool)]))
    chips = [chip for _, chip, _ in entries]
    sides = Sides({}, {})
    for path, chip, frame in entries:
        label = chip if chips.count(chip) == 1 else _name(path, chip, [p for p, _, _ in entries])
        if label in sides.frames:
            raise UsageError(f"{path}: {label} is there twice; name each file once")
        sides.frames[label] = frame.reset_index(drop=True)
        sides.paths[label] = path
    return sides


def _name(path: Path, chip: str, paths: list[Path]) -> str:
    """Return what distinguishes a side from others of the same chip: the file, or its folder too."""
    same = [other for other in paths if other.name == path.name]
    name = path_text(Path(path.stem) if len(same) == 1 else path.with_suffix(""))
    return name if len({other for other in paths if other == path}) == 1 else f"{name} {chip}"


def _files(frame: pd.DataFrame) -> list[Path]:
    return [Path(file) for file in frame["file"].unique()]


def _origin(frame: pd.DataFrame) -> Path:
    """Return the file that all rows are of, or the folder that has their files."""
    files = _files(frame)
    return files[0] if len(files) == 1 else Path(os.path.commonpath(files) if files else "a frame")
