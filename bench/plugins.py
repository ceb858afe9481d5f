"""Finds backends, kernels, implementations and tables of chips by their entry points.

The ones that ship with the harness are found the same way. Nothing is imported before it is needed. A
plug-in that cannot be imported is reported with the reason and does not affect the others.
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
class Plugins:
    """The plug-ins of one group: the loaded objects, and for the others why they did not load."""

    loaded: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def registered(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, sorted, without importing any of them."""
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda p: p.name)}


@cache
def load_all(group: str) -> Plugins:
    """Import every plug-in of a group, and collect the errors of those that fail."""
    plugins = Plugins()
    for name, point in registered(group).items():
        try:
            plugins.loaded[name] = point.load()
        except Exception as error:
            plugins.broken[name] = f"{type(error).__name__}: {error}"
    return plugins


def kernels() -> dict[str, type[Kernel]]:
    """Return the kernels that can be measured, by name."""
    return dict(load_all(KERNELS).loaded)


def load_backend(name: str) -> Any:
    """Return an instance of the backend `name`.

    Raises UsageError if no plug-in has that name. Exceptions of the plug-in itself propagate.
    """
    points = registered(BACKENDS)
    if name not in points:
        raise UsageError(f"--backend: unknown backend {name!r}{one_of(name, points)}")
    return points[name].load()()
