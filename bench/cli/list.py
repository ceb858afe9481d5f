"""`bench list`: backends, kernels, configs and tables, and why something cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from bench.cli.options import format_option

if TYPE_CHECKING:
    from bench.measure.protocol import BackendDescription
    from bench.text.document import Document

# For all backends together; if one of them takes longer, for each.
BACKENDS_TIMEOUT_S = 60.0

Item: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """A list: a function that returns its items, and the columns of the table by their titles."""

    items: Callable[[], list[Item]]
    columns: Mapping[str, Callable[[Item], str]]


def backends() -> list[Item]:
    """Return the backends, their devices and versions, or why they are not available."""
    return [
        {
            "backend": backend.name,
            "devices": None if backend.unavailable else len(backend.devices),
            "versions": backend.versions,
            "unavailable": backend.unavailable,
        }
        for backend in _described()
    ]


def devices() -> list[Item]:
    """Return every device of every available backend."""
    return [
        {
            "backend": backend.name,
            "index": device.index,
            "device": device.name,
            "memory_bytes": device.memory_bytes,
            "runtime": device.runtime,
            "simulated": device.simulated,
        }
        for backend in _described()
        for device in backend.devices
    ]


def implementations() -> list[Item]:
    """Return the implementations of each kernel by backend, the preferred ones first."""
    items: list[Item] = []
    for backend in _described():
        if backend.unavailable is not None:
            items.append(
                {"backend": backend.name, "kernel": None, "unavailable": backend.unavailable}
            )
        items += [
            {"backend": backend.name, "kernel": kernel, "implementations": names}
            for kernel, names in backend.implementations.items()
        ]
    return items


def kernels() -> list[Item]:
    """Return the kernels and their parameters, and plug-ins that cannot be loaded with the reason."""
    from bench import plugins

    plugged = plugins.load_all(plugins.KERNELS)
    items: list[Item] = [
        {
            "kernel": name,
            "parameters": list(kernel.parameter_names()),
            "meaning": _first_line(kernel.__doc__),
        }
        for name, kernel in plugged.loaded.items()
    ]
    items += [
        {"kernel": name, "parameters": None, "meaning": f"not available: {reason}"}
        for name, reason in plugged.broken.items()
    ]
    return items


def configs() -> list[Item]:
    """Return the shipped configs."""
    from bench.config.load import shipped_configs

    return [{"config": name, "meaning": text} for name, text in shipped_configs().items()]


def models() -> list[Item]:
    """Return the models whose layer shapes are known."""
    from bench.catalog.models import load_models

    fields = ("total_params_b", "active_params_b", "experts", "zero_experts", "top_k")
    return [
        {
            "model": name,
            "title": model.name,
            **{field: getattr(model, field) for field in fields},
        }
        for name, model in load_models().items()
    ]


def chips() -> list[Item]:
    """Return the chips whose peak rates are known."""
    from bench.catalog.chips import load_chips

    items = []
    for name, chip in load_chips().items():
        limits = chip.limits("bfloat16")
        rates = {"bfloat16_tflops": limits.peak_tflops, "gbps": limits.peak_gbps}
        items.append({"chip": name, "title": chip.title, **rates})
    return items


LISTS = {
    "backends": Listing(
        backends,
        {
            "backend": lambda item: item["backend"],
            "state": lambda item: (
                "not available" if item["devices"] is None else f"{item['devices']} device(s)"
            ),
            "detail": lambda item: item["unavailable"] or _versions(item["versions"]),
        },
    ),
    "kernels": Listing(
        kernels,
        {
            "kernel": lambda item: item["kernel"],
            "parameters": lambda item: _joined(item["parameters"]),
            "meaning": lambda item: item["meaning"],
        },
    ),
    "implementations": Listing(
        implementations,
        {
            "backend": lambda item: item["backend"],
            "kernel": lambda item: _known(item["kernel"]),
            "implementations, preferred ones first": lambda item: (
                _joined(item["implementations"])
                if "implementations" in item
                else f"not available: {item['unavailable']}"
            ),
        },
    ),
    "configs": Listing(
        configs,
        {"config": lambda item: item["config"], "measures": lambda item: item["meaning"]},
    ),
    "chips": Listing(
        chips,
        {
            "chip": lambda item: item["chip"],
            "title": lambda item: item["title"],
            "bf16 TFLOP/s": lambda item: _number(item["bfloat16_tflops"]),
            "GB/s": lambda item: _number(item["gbps"]),
        },
    ),
    "models": Listing(
        models,
        {
            "model": lambda item: item["model"],
            "title": lambda item: item["title"],
            "parameters / active": lambda item: (
                f"{_billions(item['total_params_b'])} / {_billions(item['active_params_b'])}"
            ),
            "experts": lambda item: (
                f"{item['experts']}"
                + f" + {item['zero_experts']} zero" * bool(item["zero_experts"])
                + f", top-{item['top_k']}"
            ),
        },
    ),
    "devices": Listing(
        devices,
        {
            "backend": lambda item: item["backend"],
            "index": lambda item: str(item["index"]),
            "device": lambda item: item["device"] + " (simulated)" * item["simulated"],
            "memory": lambda item: _gibibytes(item["memory_bytes"]),
            "runtime": lambda item: _known(item["runtime"]),
        },
    ),
}


@click.command("list")
@click.argument("what", type=click.Choice(list(LISTS)), metavar="WHAT")
@format_option("Format of the list on standard output.")
def command(what: str, form: str) -> None:
    """List what is available, and why the rest is not.

    WHAT is backends, kernels, implementations, configs, chips, models or devices.
    """
    from bench.text.exporters import export

    export(list_document(LISTS[what]), form, sys.stdout)


def list_document(listing: Listing) -> Document:
    """Return a list for all formats; texts in the first column of the table never wrap."""
    from bench.text.document import Document, Table, TableColumn

    items = listing.items()
    columns = [TableColumn(title, "left", wraps=n > 0) for n, title in enumerate(listing.columns)]
    rows = [[text(item) for text in listing.columns.values()] for item in items]
    names = list(dict.fromkeys(name for item in items for name in item))
    records: list[list[object]] = [
        [*names],
        *([_cell(item.get(name)) for name in names] for item in items),
    ]
    return Document(
        blocks=[Table(columns, rows, gap=2, if_empty="none")],
        records=records,
        data=lambda: [{name: item.get(name) for name in names} for item in items],
    )


def _described() -> list[BackendDescription]:
    from bench import plugins
    from bench.measure.discovery import describe_all

    names = list(plugins.registered(plugins.BACKENDS))
    descriptions, worker = describe_all(names, timeout_s=BACKENDS_TIMEOUT_S)
    worker.discard()
    return descriptions


def _cell(value: object) -> object:
    """Return a value for a cell of CSV, where there are no lists."""
    if isinstance(value, dict):
        return _versions(value)
    return _joined(value) if isinstance(value, list) else value


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _joined(names: Sequence[str] | None) -> str:
    return _known(None) if names is None else ", ".join(names) or "none"


def _known(value: str | None) -> str:
    from bench.text.format import UNKNOWN

    return UNKNOWN if value is None else value


def _number(value: float | None) -> str:
    from bench.text.format import significant

    return significant(value, 4)


def _billions(value: float | None) -> str:
    return _known(None if value is None else f"{value:g} B")


def _gibibytes(size: int | None) -> str:
    return _known(f"{size / 2**30:.0f} GiB" if size else None)


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text else _known(None)
