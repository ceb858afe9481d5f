"""Peak rates of chips by the name that a driver reports: tables from every package that has one.

A chip that no table knows has no peak. There is no default and no guess: a utilization against the
wrong chip's peak is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

from bench import plugins
from bench.catalog.chip_table import Architecture, Chip, Table, parse_table
from bench.errors import UsageError, one_of


@cache
def load_tables() -> dict[str, Table]:
    """Return every table by the name of its plug-in; raises UsageError where one is wrong."""
    tables: dict[str, Table] = {}
    owner: dict[str, str] = {}
    for plugin, file in plugins.load_all(plugins.CHIPS).loaded.items():
        try:
            text = file.read_text(encoding="utf-8")
        except AttributeError:
            raise UsageError(
                f"the plug-in {plugin!r} of {plugins.CHIPS}: expected the path of a YAML file, "
                f"got {file!r}"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file}: cannot be read: {error}") from None
        tables[plugin] = parse_table(text, str(file))
        for chip in tables[plugin].chips:
            if owner.setdefault(chip, plugin) != plugin:
                raise UsageError(
                    f"{file}: chips.{chip}: is in the table of {owner[chip]!r} already; "
                    "give it another id"
                )
    return tables


@cache
def load_chips() -> Mapping[str, Chip]:
    """Return the chips of all tables by id; raises UsageError where a table is wrong."""
    return MappingProxyType(
        {name: chip for table in load_tables().values() for name, chip in table.chips.items()}
    )


def find_chip(device_name: str, chips: Iterable[Chip] | None = None) -> Chip | None:
    """Return the chip of a device's name, None where no table knows it or two claim it.

    A name that a table spells out goes before a pattern, and a pattern has to match all of a name,
    so that an unlisted variant, or a slice of a device, is not taken for the chip in its name.
    """
    name = device_name.strip()
    known = list(load_chips().values() if chips is None else chips)
    found = [chip for chip in known if name in chip.names]
    found = found or [chip for chip in known if chip.fits(name)]
    return found[0] if len(found) == 1 else None


def get_chip(name: str) -> Chip:
    """Return a chip by id. Raises UsageError naming the nearest one."""
    chips = load_chips()
    if name not in chips:
        raise UsageError(f"unknown chip {name!r}{one_of(name, chips)}")
    return chips[name]


def find_architecture(target: str, device_name: str = "") -> Architecture | None:
    """Return what a unit of a compile target such as sm_90 does in a cycle, None if not known.

    The device's name tells the families apart whose rates differ within one target.
    """
    every = [known for table in load_tables().values() for known in table.architectures.values()]
    same = [known for known in every if known.target == target]
    found = [known for known in same if known.fits(device_name.strip())]
    found = found or [known for known in same if known.pattern is None]
    return found[0] if len(found) == 1 else None
