"""The whole examination: host and software, then every backend that is installed, side by side."""

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
class Section:
    """What was found about one thing: the host, the software, or a backend."""

    name: str
    findings: list[Finding]


@dataclass
class Examination:
    """All sections, and the backends that can measure."""

    sections: list[Section] = field(default_factory=list)
    can_measure: list[str] = field(default_factory=list)

    def levels(self, level: str) -> int:
        """Return how many findings have a level."""
        return sum(one.level == level for section in self.sections for one in section.findings)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"can_measure": self.can_measure, "sections": [asdict(s) for s in self.sections]}


def examine(timeout_s: float) -> Examination:
    """Look at everything. The processors are looked at first, before our own workers keep them busy."""
    result = Examination()
    here = [*host.examine(host.this_host()), *neighbors.examine(), *_launcher()]
    result.sections.append(Section("host", here))
    names = list(plugins.registered(plugins.BACKENDS))
    with ThreadPoolExecutor() as pool:
        installed = pool.submit(software.examine, timeout_s)
        found = {name: pool.submit(backends.examine, name, timeout_s) for name in names}
        result.sections.append(Section("software", installed.result()))
        for name, future in found.items():
            usable, findings = future.result()
            result.sections.append(Section(f"backend {name}", findings))
            if usable:
                result.can_measure.append(name)
    return result


def _launcher() -> Iterator[Finding]:
    """Tell which rank of which launcher this is, where one has started us."""
    try:
        rank = find_rank(os.environ)
    except UsageError as error:
        yield Finding("warn", "launcher", str(error))
        return
    if rank is not None:
        size = "" if rank.size is None else f" of {rank.size}"
        yield Finding("ok", "launcher", f"{rank.launcher}: rank {rank.number}{size}")
