"""Where the table of chips lies that comes with the harness; registered under `bench.chips`."""

from importlib import resources

TABLE = resources.files("backends") / "chips" / "nvidia-ampere.yaml"
