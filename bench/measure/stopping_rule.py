"""The stopping rule: how many visits a case gets, and the goal of each visit.

A run visits its cases in rounds. Two visits to a case are as far apart as the run allows, and each has an
allocation of its own: their scatter includes what changes from moment to moment and from one allocation or
process to the next, as it would between two runs.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.statistics import LEAST_VALUES, rounds_interval
from bench.measure.protocol import Outcome

# Samples per visit if there are several: more would only describe this one visit better.
VISIT_SAMPLES = 4

# A case whose visits outlast the budget is given up to this many budgets for its least rounds.
LONGEST_BUDGETS = 4


@dataclass(frozen=True)
class StoppingRule:
    """When a case has had enough rounds.

    A case gets six rounds, or `rounds` if that is fewer, and further ones up to `rounds` until half of
    its interval is within `precision`. The time budget counts the seconds of visits, from allocation
    to the last check: further rounds have to fit into it, the first six into four budgets.
    With one round, `precision` and budget apply to the samples of that visit. Devices that measure
    `together` go on for the whole budget, so that none works beside idle neighbors.
    """

    rounds: int
    precision: float
    time_budget_s: float
    together: bool = False

    @property
    def visit_goal(self) -> dict[str, object]:
        """The fields of a request that say when a visit has enough samples."""
        if self.rounds == 1:
            precision = None if self.together else self.precision
            return {
                "time_budget_s": self.time_budget_s,
                "precision": precision,
                "least_samples": LEAST_VALUES,
            }
        samples = None if self.together else VISIT_SAMPLES
        return {"time_budget_s": self.time_budget_s / self.rounds, "samples": samples}

    def stop_reason(self, visits: Sequence[Outcome]) -> str | None:
        """Return why a case ends after these visits, None to go on."""
        count = len(visits)
        if self.rounds == 1:
            return visits[0].stop_reason
        if self.together:
            return "time_budget" if count >= self.rounds else None
        next_s = sum(visit.spent_s for visit in visits) + visits[-1].spent_s
        if count < min(self.rounds, LEAST_VALUES):
            too_long = count >= 2 and next_s > LONGEST_BUDGETS * self.time_budget_s
            return "time_budget" if too_long else None
        if self._is_precise(visits):
            return "precision"
        if count >= self.rounds:
            return "max_rounds"
        return "time_budget" if next_s > self.time_budget_s else None

    def _is_precise(self, visits: Sequence[Outcome]) -> bool:
        medians = [statistics.median(visit.values_s) for visit in visits]
        interval = rounds_interval(medians)
        if interval is None:
            return False
        return (interval[1] - interval[0]) / 2 <= self.precision * statistics.median(medians)
