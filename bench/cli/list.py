"""`bench list`: what there is, and for what cannot be used the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bench.measure.protocol import BackendDescription

# For all backends together; if one of them takes longer, for each.
BACKENDS_TIMEOUT_S = 60.0

Line = tuple[str, ...]
Listing = tuple[Line, list[Line]]


def backends() -> Listing:
    """Return the backends, whether each has a device here, and why not."""
    lines: list[Line] = []
    for found in _described():
        if found.unavailable is not None:
            lines.append((found.name, "not available", found.unavailable))
        else:
            versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
            lines.append((found.name, f"{len(found.devices)} device(s)", versions))
    return ("backend", "state", "detail"), lines


def devices() -> Listing:
    """Return every device of every backend that can be used."""
    lines: list[Line] = []
    for found in _described():
        for device in found.devices:
            memory = f"{device.memory_bytes / 2**30:.0f} GiB" if device.memory_bytes else "–"
            name = f"{device.name} (simulated)" if device.simulated else device.name
            lines.append((found.name, str(device.index), name, memory, device.runtime or "–"))
    return ("backend", "index", "device", "memory", "runtime"), lines


def implementations() -> Listing:
    """Return each backend's implementations of each kernel, best first."""
    lines: list[Line] = []
    for found in _described():
        if found.unavailable is not None:
            lines.append((found.name, "–", f"not available: {found.unavailable}"))
        for kernel, names in found.implementations.items():
            lines.append((found.name, kernel, ", ".join(names) or "none"))
    return ("backend", "kernel", "implementations, best first"), lines


def kernels() -> Listing:
    """Return the kernels and their parameters; plug-ins that do not load, with the reason."""
    from bench import plugins

    found = plugins.load_all(plugins.KERNELS)
    lines: list[Line] = [
        (name, ", ".join(kernel.parameter_names()), _first_line(kernel.__doc__))
        for name, kernel in found.loaded.items()
    ]
    lines += [(name, "–", f"not available: {reason}") for name, reason in found.broken.items()]
    return ("kernel", "parameters", "what it is"), lines


def configs() -> Listing:
    """Return the configs that `bench run NAME` knows."""
    from bench.config.load import shipped_configs

    return ("config", "what it measures"), list(shipped_configs().items())


def models() -> Listing:
    """Return the models whose layer shapes are known."""
    from bench.catalog.models import load_models
    from bench.cli.format import UNKNOWN

    lines: list[Line] = []
    for name, model in load_models().items():
        size = " / ".join(
            f"{size:g} B" if size is not None else UNKNOWN
            for size in (model.total_params_b, model.active_params_b)
        )
        experts = f"{model.experts}, top-{model.top_k}"
        lines.append((name, model.name, size, experts))
    return ("model", "title", "parameters / active", "experts"), lines


def chips() -> Listing:
    """Return the chips whose peak rates are known."""
    from bench.catalog.chips import load_chips
    from bench.cli.format import significant

    lines: list[Line] = []
    for name, chip in load_chips().items():
        limits = chip.limits("bfloat16")
        lines.append(
            (name, chip.title, significant(limits.peak_tflops), significant(limits.peak_gbps, 4))
        )
    return ("chip", "title", "bf16 TFLOP/s", "GB/s"), lines


LISTS: dict[str, Callable[[], Listing]] = {
    "backends": backends,
    "kernels": kernels,
    "implementations": implementations,
    "configs": configs,
    "chips": chips,
    "models": models,
    "devices": devices,
}


@click.command("list")
@click.argument("what", type=click.Choice(list(LISTS)), metavar="WHAT")
def command(what: str) -> None:
    """Show what there is, and for what cannot be used the reason.

    WHAT is backends, kernels, implementations, configs, chips, models or devices.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    header, lines = LISTS[what]()
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for number, title in enumerate(header):
        table.add_column(title, overflow="fold", no_wrap=number == 0)
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    console = Console(highlight=False, markup=False)
    console.print(table)
    if not lines:
        console.print("none")


def _described() -> list[BackendDescription]:
    from bench import plugins
    from bench.measure.discovery import describe_all

    names = list(plugins.registered(plugins.BACKENDS))
    found, worker = describe_all(names, timeout_s=BACKENDS_TIMEOUT_S)
    worker.discard()
    return found


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text else "–"
