"""The folder of chip tables that comes with the harness; registered under `bench.chips`."""

from importlib import resources

TABLE = resources.files("backends") / "chips"
