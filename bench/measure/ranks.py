"""What a worker needs in a group of ranks: a backend that forms groups, and the times of all ranks."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.backend import Backend, FormsGroups, Prepared, TimesRanks
from bench.errors import Unsupported


def group_backend(backend: Backend) -> FormsGroups:
    """Return the backend as one that forms groups. Raises Unsupported if it does not."""
    if not isinstance(backend, FormsGroups):
        raise Unsupported(f"backend {backend.name} does not form groups of ranks")
    return backend


class RankTimes:
    """Records the seconds of each rank, run by run; nothing for a case on one device."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._runs: list[Sequence[float | None]] = []

    def run(self, loops: int) -> float:
        """Run the case, and record how long each rank took."""
        seconds = self._prepared.run(loops)
        if isinstance(self._prepared, TimesRanks):
            self._runs.append(self._prepared.rank_seconds())
        return seconds

    def medians_s(self, runs: int, loops: int) -> list[float | None]:
        """Return each rank's median seconds of one execution, over the last runs."""
        by_rank = zip(*self._runs[-runs:], strict=True)
        known = ([value for value in values if value is not None] for values in by_rank)
        return [statistics.median(values) / loops if values else None for values in known]
