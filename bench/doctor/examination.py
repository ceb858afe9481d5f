"""The whole examination: the host, the software, and every installed backend."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from bench import plugins
from bench.backend import Finding
from bench.doctor import backends, host, neighbors, software
from bench.errors import UsageError
from bench.measure.launcher import find_rank


@dataclass(frozen=True)
class FindingGroup:
    """The findings on one thing: the host, the software, or a backend."""

    name: str
    findings: list[Finding]


@dataclass
class Examination:
    """The findings, and the names of the backends that can measure."""

    sections: list[FindingGroup] = field(default_factory=list)
    can_measure: list[str] = field(default_factory=list)

    def levels(self, level: str) -> int:
        """Count the findings of a level."""
        return sum(one.level == level for section in self.sections for one in section.findings)

    def to_json(self) -> dict[str, Any]:
        """Convert to what json.dumps takes."""
        return {"can_measure": self.can_measure, "sections": [asdict(s) for s in self.sections]}


def examine(timeout_s: float) -> Examination:
    """Examine everything, the processors before our own workers keep them busy."""
    result = Examination()
    on_host = [*host.examine(host.this_host()), *neighbors.examine(), *_launcher()]
    result.sections.append(FindingGroup("host", on_host))
    names = list(plugins.registered(plugins.BACKENDS))
    with ThreadPoolExecutor() as pool:
        installed = pool.submit(software.examine, timeout_s)
        examined = {name: pool.submit(backends.examine, name, timeout_s) for name in names}
        result.sections.append(FindingGroup("software", installed.result()))
        for name, future in examined.items():
            usable, findings = future.result()
            result.sections.append(FindingGroup(f"backend {name}", findings))
            if usable:
                result.can_measure.append(name)
    return result


def _launcher() -> Iterator[Finding]:
    """Name the launcher that started this process, and its rank."""
    try:
        rank = find_rank(os.environ)
    except UsageError as error:
        yield Finding("warn", "launcher", str(error))
        return
    if rank is not None:
        size = "" if rank.size is None else f" of {rank.size}"
        yield Finding("ok", "launcher", f"{rank.launcher}: rank {rank.number}{size}")
