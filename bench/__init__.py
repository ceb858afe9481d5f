"""An accelerator benchmark: matrix products and mixture-of-experts layers, verified and comparable."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.analysis.compare import Comparison
    from bench.api import compare, cost, project
    from bench.reporting.report import report
    from bench.results.load import load

__version__ = "0.1.0"

# Imported when it is asked for, so that `import bench` costs neither pandas nor torch.
_HOMES = {
    "Comparison": "bench.analysis.compare",
    "compare": "bench.api",
    "cost": "bench.api",
    "load": "bench.results.load",
    "project": "bench.api",
    "report": "bench.reporting.report",
}

__all__ = ["Comparison", "__version__", "compare", "cost", "load", "project", "report"]


if not TYPE_CHECKING:  # to a type checker it would say that every name is there

    def __getattr__(name: str) -> Any:
        """Return a name of the table above."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return what there is, so that a notebook completes it."""
    return [*globals(), *_HOMES]
