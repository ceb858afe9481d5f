"""An accelerator benchmark: matrix products and mixture-of-experts layers, verified and comparable."""

__version__ = "0.1.0"
