"""Finds backends, kernels, implementations and chip tables: by entry point, ours like anyone's.

Nothing is imported before it is asked for. A plug-in that cannot be imported is reported with the
reason; it never takes the harness down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from bench.errors import UsageError, one_of
from bench.kernels.base import Kernel

BACKENDS = "bench.backends"
KERNELS = "bench.kernels"
IMPLEMENTATIONS = "bench.implementations"
CHIPS = "bench.chips"


@dataclass
class Found:
    """The plug-ins of one group: those that loaded, and for the others why they did not."""

    loaded: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def registered(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, in alphabetical order, importing nothing."""
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda p: p.name)}


@cache
def load_all(group: str) -> Found:
    """Import every plug-in of a group; collect the reasons of those that fail."""
    found = Found()
    for name, point in registered(group).items():
        try:
            found.loaded[name] = point.load()
        except Exception as error:
            found.broken[name] = f"{type(error).__name__}: {error}"
    return found


def kernels() -> dict[str, type[Kernel]]:
    """Return the kernels that can be measured, by name."""
    return dict(load_all(KERNELS).loaded)


def load_backend(name: str) -> Any:
    """Return an instance of the backend called `name`.

    Raises UsageError if no plug-in has that name; what the plug-in itself raises passes through.
    """
    points = registered(BACKENDS)
    if name not in points:
        raise UsageError(f"--backend: unknown backend {name!r}{one_of(name, points)}")
    return points[name].load()()
