"""Finds the backend and the devices of a run by asking a worker; the harness itself loads none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench import plugins
from bench.backend import Device
from bench.errors import UsageError, one_of
from bench.measure.client import WorkerDied, WorkerProcess, WorkerTimeout
from bench.measure.protocol import BackendDescription


def describe_backends(worker: WorkerProcess, names: Sequence[str]) -> list[BackendDescription]:
    """Return what each backend offers here; one that kills the worker fails the call."""
    try:
        return worker.describe(list(names))
    except WorkerDied as death:
        raise UsageError(f"cannot look for devices: {death}") from None
    except WorkerTimeout:
        raise UsageError("cannot look for devices: the worker did not answer") from None


def choose_backend(worker: WorkerProcess, name: str | None) -> BackendDescription:
    """Return the named backend, or the one of highest priority that has a device.

    Raises UsageError with the reason where the named one cannot be used.
    """
    known = plugins.registered(plugins.BACKENDS)
    if name is None:
        found = [
            description
            for description in describe_backends(worker, list(known))
            if description.unavailable is None and description.devices
        ]
        if not found:
            raise UsageError("no backend has a device here; `bench list backends` says why")
        return max(found, key=lambda description: description.priority)
    if name not in known:
        raise UsageError(f"--backend: unknown backend {name!r}{one_of(name, known)}")
    description = describe_backends(worker, [name])[0]
    if description.unavailable is not None:
        raise UsageError(f"--backend: {name} cannot be used here: {description.unavailable}")
    return description


def choose_devices(text: str, present: Sequence[Device]) -> list[Device]:
    """Return the devices that `--device` asks for: an index, a list such as 0,2, or `all`."""
    if text == "all":
        return list(present)
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise UsageError(f"--device: {text!r} is neither an index, a list such as 0,2, nor `all`")
    by_index = {device.index: device for device in present}
    wanted = list(dict.fromkeys(int(index) for index in text.split(",")))
    missing = [index for index in wanted if index not in by_index]
    if missing:
        there = ", ".join(f"{device.index} ({device.name})" for device in present)
        raise UsageError(f"--device: there is no device {missing[0]}; present: {there or 'none'}")
    return [by_index[index] for index in wanted]
