"""`bench.compare`, for scripts and notebooks: frames from `bench.load` held against each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import pandas as pd

from bench.analysis.compare import DEFAULT_THRESHOLD, Comparison
from bench.analysis.compare import compare as compare_sides
from bench.analysis.pairing import COLUMNS
from bench.errors import UsageError
from bench.results.sides import sides_of

Frames: TypeAlias = Mapping[str, pd.DataFrame] | Iterable[pd.DataFrame] | pd.DataFrame


def compare(
    frames: Frames,
    *,
    base: str | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    same_implementation: bool = False,
    simulated: bool = False,
) -> Comparison:
    """Hold devices against a base, case by case, as `bench compare` does.

    `frames` are frames from `bench.load`, whole or filtered: by a label of your own in a dict; or in a
    list, each under its chip, or its file where two have the same chip; or one frame, whose chips are
    compared. The first is the base, or the one that `base` names. Differences below `threshold` do not
    matter. Each side's fastest implementation of a case counts, or with `same_implementation` equal
    ones. `simulated` lets rows of simulated devices count. Raises UsageError where frames cannot be compared.
    """
    if isinstance(frames, Mapping):
        sides = {str(label): _checked(frame, str(label)) for label, frame in frames.items()}
    else:
        given = [frames] if isinstance(frames, pd.DataFrame) else list(frames)
        checked = [_checked(frame, f"frame {n}") for n, frame in enumerate(given, 1)]
        sides = sides_of(checked).frames
    return compare_sides(
        sides,
        base=base,
        threshold=threshold,
        same_implementation=same_implementation,
        simulated=simulated,
    )


def _checked(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a frame that has what a comparison needs. Raises UsageError for any other."""
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(f"{name}: expected a frame from bench.load, found {frame!r}")
    missing = [column for column in (*COLUMNS, "file") if column not in frame]
    if missing:
        raise UsageError(
            f"{name}: lacks {', '.join(missing)}; bench.load without `columns` gives them all"
        )
    return frame
