"""What executions left behind: fingerprints of outputs, and whether two sets of them agree."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Outputs = Mapping[str, NDArray[Any]]

# Two roundings of the same sum differ by this many tolerances at most, element by element: a tolerance
# is about two standard deviations, and among a billion elements some are six of them away.
SPREAD = 8.0


class SeenOutputs(dict[str, NDArray[Any]]):
    """Outputs that know which of them were looked at, and by whose fault one is missing."""

    def __init__(self, outputs: Outputs) -> None:
        super().__init__(outputs)
        self._seen: set[str] = set()

    def __getitem__(self, name: str) -> NDArray[Any]:
        self._seen.add(name)
        return super().__getitem__(name)

    @property
    def unseen(self) -> list[str]:
        """The outputs that were not looked at, in order of their names."""
        return sorted(self.keys() - self._seen)


def fingerprint(outputs: Outputs) -> str:
    """Return a digest of names, types, shapes and every bit of the values."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(outputs):
        array = np.ascontiguousarray(outputs[name])
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def disagreement(verified: Outputs, left: Outputs, tolerance: float) -> str | None:
    """Return where outputs differ from verified ones by more than rounding, None if they do not.

    An implementation that adds in another order each time (atomics, split sums) has other last bits:
    each element may be off by SPREAD times `tolerance`, relative to itself, its row's or all elements'
    root mean square, whichever is largest. With a tolerance of zero, every bit counts.
    """
    for name, expected in verified.items():
        actual = left.get(name)
        if actual is None:
            return f"output {name} is missing"
        if actual.shape != expected.shape:
            return f"output {name} has shape {actual.shape} instead of {expected.shape}"
        if np.array_equal(expected, actual):
            continue
        wrong = _wrong_elements(expected.astype(np.float64), actual.astype(np.float64), tolerance)
        if count := int(wrong.sum()):
            index = tuple(map(int, np.argwhere(wrong)[0]))
            return (
                f"{count} of {expected.size} elements of {name} changed by more than rounding: the "
                f"first is {list(index)}, {expected[index]:.6g} when verified and {actual[index]:.6g} now"
            )
    return None


def _wrong_elements(
    expected: NDArray[np.float64], actual: NDArray[np.float64], tolerance: float
) -> NDArray[np.bool_]:
    square = expected**2
    overall = np.sqrt(square.mean())
    rows = np.sqrt(square.mean(axis=-1, keepdims=True)) if expected.ndim else overall
    scale = np.maximum(np.maximum(np.abs(expected), rows), overall)
    # Not finite is never within the bound.
    return np.asarray(~(np.abs(actual - expected) <= SPREAD * tolerance * scale))
