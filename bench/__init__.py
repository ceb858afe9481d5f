"""An accelerator benchmark: matrix products and mixture-of-experts layers, verified and comparable."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.reporting.report import report

__version__ = "0.1.0"
__all__ = ["__version__", "report"]


def __getattr__(name: str) -> Any:
    """Import what a script asks for when it asks, so that `import bench` stays quick."""
    if name == "report":
        from bench.reporting.report import report

        return report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
