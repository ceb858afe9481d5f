"""Looks up chips, and so their peak rates, by the name that a driver reports, in all installed tables.

A chip that is in no table has no peak. There is no default and no guess: a utilization against the peak
of the wrong chip is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from bench import plugins
from bench.catalog.chip_table import Architecture, Chip, ChipTable, parse_table
from bench.errors import UsageError, one_of

if TYPE_CHECKING:
    from importlib.abc import Traversable


@cache
def load_tables() -> dict[str, ChipTable]:
    """Load the tables of all plug-ins, by plug-in. Raises UsageError for an invalid table."""
    tables: dict[str, ChipTable] = {}
    owner: dict[str, str] = {}
    for plugin, path in plugins.load_all(plugins.CHIPS).loaded.items():
        tables[plugin] = parse_table(_documents(plugin, path))
        for chip in tables[plugin].chips:
            if owner.setdefault(chip, plugin) != plugin:
                raise UsageError(
                    f"{path}: chips.{chip}: is already in the table of the plug-in {owner[chip]!r}; "
                    "give it another id"
                )
    return tables


def _documents(plugin: str, path: Traversable) -> dict[str, str]:
    """Read the YAML file at a path, or those of a folder in alphabetical order: texts by name."""
    try:
        files = [path]
        if path.is_dir():
            files = sorted(
                (file for file in path.iterdir() if file.name.endswith(".yaml")), key=str
            )
        return {str(file): file.read_text(encoding="utf-8") for file in files}
    except AttributeError:
        raise UsageError(
            f"the plug-in {plugin!r} of {plugins.CHIPS}: expected the path of a YAML file or of a "
            f"folder of them, got {path!r}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


@cache
def load_chips() -> Mapping[str, Chip]:
    """The chips of all tables by id. Raises UsageError for an invalid table."""
    return MappingProxyType(
        {name: chip for table in load_tables().values() for name, chip in table.chips.items()}
    )


def find_chip(device_name: str, chips: Iterable[Chip] | None = None) -> Chip | None:
    """Look up the chip with this device name; None if there is none, or more than one.

    Names that a table lists take precedence over patterns. A pattern must match the whole name, so that
    an unlisted variant or a slice of a device is not mistaken for the chip in its name.
    """
    name = device_name.strip()
    known = list(load_chips().values() if chips is None else chips)
    matches = [chip for chip in known if name in chip.names]
    matches = matches or [chip for chip in known if chip.fits(name)]
    return matches[0] if len(matches) == 1 else None


def get_chip(name: str) -> Chip:
    """Look up a chip by id. Raises UsageError that suggests the closest id."""
    chips = load_chips()
    if name not in chips:
        raise UsageError(f"unknown chip {name!r}{one_of(name, chips)}")
    return chips[name]


def find_architecture(target: str, device_name: str = "") -> Architecture | None:
    """Look up the architecture of a compile target such as sm_90; None if it is in no table.

    The device's name decides between architectures of one target whose rates differ.
    """
    every = [known for table in load_tables().values() for known in table.architectures.values()]
    same = [known for known in every if known.target == target]
    matches = [known for known in same if known.fits(device_name.strip())]
    matches = matches or [known for known in same if known.pattern is None]
    return matches[0] if len(matches) == 1 else None
