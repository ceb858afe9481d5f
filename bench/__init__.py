"""An accelerator benchmark: matrix products and mixture-of-experts layers, verified and comparable.

For scripts and notebooks: `load` reads result files into a data frame, `compare` holds devices against
a base, `report` writes a page of charts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.analysis.compare import compare
    from bench.reporting.report import report
    from bench.results.load import load

__version__ = "0.1.0"
__all__ = ["__version__", "compare", "load", "report"]

# Imported when a script asks for them, so that `import bench` stays quick.
_MODULES = {
    "compare": "bench.analysis.compare",
    "load": "bench.results.load",
    "report": "bench.reporting.report",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
