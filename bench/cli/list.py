"""`bench list`: what there is, and for what cannot be used the reason."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bench.measure.protocol import BackendDescription
    from bench.text.document import Table

# For all backends together; if one of them takes longer, for each.
BACKENDS_TIMEOUT_S = 60.0

Line = tuple[str, ...]


def backends() -> Table:
    """Return the backends, whether each has a device here, and why not."""
    lines: list[Line] = []
    for backend in _described():
        if backend.unavailable is not None:
            lines.append((backend.name, "not available", backend.unavailable))
        else:
            versions = ", ".join(f"{name} {version}" for name, version in backend.versions.items())
            lines.append((backend.name, f"{len(backend.devices)} device(s)", versions))
    return _table(["backend", "state", "detail"], lines)


def devices() -> Table:
    """Return every device of every backend that can be used."""
    lines: list[Line] = []
    for backend in _described():
        for device in backend.devices:
            memory = f"{device.memory_bytes / 2**30:.0f} GiB" if device.memory_bytes else "–"
            name = f"{device.name} (simulated)" if device.simulated else device.name
            lines.append((backend.name, str(device.index), name, memory, device.runtime or "–"))
    return _table(["backend", "index", "device", "memory", "runtime"], lines)


def implementations() -> Table:
    """Return each backend's implementations of each kernel, best first."""
    lines: list[Line] = []
    for backend in _described():
        if backend.unavailable is not None:
            lines.append((backend.name, "–", f"not available: {backend.unavailable}"))
        for kernel, names in backend.implementations.items():
            lines.append((backend.name, kernel, ", ".join(names) or "none"))
    return _table(["backend", "kernel", "implementations, best first"], lines)


def kernels() -> Table:
    """Return the kernels and their parameters; plug-ins that do not load, with the reason."""
    from bench import plugins

    plugged = plugins.load_all(plugins.KERNELS)
    lines: list[Line] = [
        (name, ", ".join(kernel.parameter_names()), _first_line(kernel.__doc__))
        for name, kernel in plugged.loaded.items()
    ]
    lines += [(name, "–", f"not available: {reason}") for name, reason in plugged.broken.items()]
    return _table(["kernel", "parameters", "what it is"], lines)


def configs() -> Table:
    """Return the configs that `bench run NAME` knows."""
    from bench.config.load import shipped_configs

    return _table(["config", "what it measures"], list(shipped_configs().items()))


def models() -> Table:
    """Return the models whose layer shapes are known."""
    from bench.catalog.models import load_models
    from bench.text.format import UNKNOWN

    lines: list[Line] = []
    for name, model in load_models().items():
        size = " / ".join(
            f"{size:g} B" if size is not None else UNKNOWN
            for size in (model.total_params_b, model.active_params_b)
        )
        experts = f"{model.experts}, top-{model.top_k}"
        lines.append((name, model.name, size, experts))
    return _table(["model", "title", "parameters / active", "experts"], lines)


def chips() -> Table:
    """Return the chips whose peak rates are known."""
    from bench.catalog.chips import load_chips
    from bench.text.format import significant

    lines: list[Line] = []
    for name, chip in load_chips().items():
        limits = chip.limits("bfloat16")
        lines.append(
            (name, chip.title, significant(limits.peak_tflops), significant(limits.peak_gbps, 4))
        )
    return _table(["chip", "title", "bf16 TFLOP/s", "GB/s"], lines)


LISTS: dict[str, Callable[[], Table]] = {
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
    from bench.text.document import Document
    from bench.text.exporters import export

    export(Document(blocks=[LISTS[what]()]), "table", sys.stdout)


def _described() -> list[BackendDescription]:
    from bench import plugins
    from bench.measure.discovery import describe_all

    names = list(plugins.registered(plugins.BACKENDS))
    found, worker = describe_all(names, timeout_s=BACKENDS_TIMEOUT_S)
    worker.discard()
    return found


def _table(titles: Sequence[str], rows: Sequence[Line]) -> Table:
    """Return a table of text: the names in the first column never wrap."""
    from bench.text.document import Column, Table

    columns = [Column(title, "left", wraps=place > 0) for place, title in enumerate(titles)]
    return Table(columns, rows, gap=2, if_empty="none")


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text else "–"
