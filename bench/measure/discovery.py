"""Finds the backend and the devices of a run by asking a worker; the harness itself loads none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from bench import plugins
from bench.backend import Device
from bench.errors import UsageError, one_of
from bench.measure.client import (
    START_TIMEOUT_S,
    WorkerDied,
    WorkerEnded,
    WorkerProcess,
    WorkerTimeout,
)
from bench.measure.protocol import BackendDescription


def describe_all(
    names: Sequence[str], threads: int | None = None, timeout_s: float = START_TIMEOUT_S
) -> tuple[list[BackendDescription], WorkerProcess]:
    """Return what each backend offers here, and a worker that has loaded them.

    All are asked in one worker, because each imports the same large libraries. Only if that dies,
    each gets a worker of its own, so that one which crashes does not hide the others.
    """
    try:
        return _describe(names, threads, timeout_s)
    except WorkerEnded:
        return _describe_each(names, threads, timeout_s), WorkerProcess(threads)


def _describe(
    names: Sequence[str], threads: int | None, timeout_s: float
) -> tuple[list[BackendDescription], WorkerProcess]:
    """Ask one worker; raises WorkerEnded. What ends it when it is imported is left out from then on."""
    while True:
        worker = WorkerProcess(threads)
        try:
            return worker.describe(list(names), timeout_s), worker
        except WorkerEnded as end:
            worker.discard()
            if end.plug_in is None:
                raise
            plugins.leave_out(*end.plug_in, str(end))
        except BaseException:
            worker.discard()
            raise


def _describe_each(
    names: Iterable[str], threads: int | None, timeout_s: float
) -> list[BackendDescription]:
    descriptions: list[BackendDescription] = []
    for name in names:
        try:
            description, worker = _describe([name], threads, timeout_s)
            descriptions += description
            worker.discard()
        except WorkerDied as death:
            descriptions.append(BackendDescription(name, f"looking for devices, {death}"))
        except WorkerTimeout:
            descriptions.append(
                BackendDescription(
                    name, f"looking for devices, it did not answer within {timeout_s:g} s"
                )
            )
    return descriptions


def choose_backend(
    name: str | None, threads: int | None = None
) -> tuple[BackendDescription, WorkerProcess]:
    """Return the named backend, or the one of highest priority that has a device, and a worker.

    The worker has the backend's libraries loaded already. Raises UsageError with the reason where
    the named backend cannot be used.
    """
    known = plugins.registered(plugins.BACKENDS)
    if name is not None and name not in known:
        raise UsageError(f"--backend: unknown backend {name!r}{one_of(name, known)}")
    names = list(known) if name is None else [name]
    descriptions, worker = describe_all(names, threads)
    try:
        return _usable(descriptions, name), worker
    except BaseException:
        worker.discard()
        raise


def _usable(descriptions: Sequence[BackendDescription], name: str | None) -> BackendDescription:
    if name is not None:
        (description,) = descriptions
        if description.unavailable is not None:
            raise UsageError(f"--backend: {name} cannot be used here: {description.unavailable}")
        return description
    present = [each for each in descriptions if each.unavailable is None and each.devices]
    if not present:
        raise UsageError("no backend has a device here; `bench list backends` says why")
    return max(present, key=lambda each: each.priority)


def choose_devices(text: str, present: Sequence[Device]) -> list[Device]:
    """Return the devices that `--device` asks for: an index, a list such as 0,2, or `all`."""
    if text == "all":
        return list(present)
    if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", text):
        raise UsageError(
            f"--device: {text!r:.80} is neither an index, a list such as 0,2, nor `all`"
        )
    by_index = {device.index: device for device in present}
    wanted = list(dict.fromkeys(int(index) for index in text.split(",")))
    missing = [index for index in wanted if index not in by_index]
    if missing:
        there = ", ".join(f"{device.index} ({device.name})" for device in present)
        raise UsageError(f"--device: there is no device {missing[0]}; present: {there or 'none'}")
    return [by_index[index] for index in wanted]


def choose_implementation(name: str, offered: Mapping[str, Sequence[str]]) -> str:
    """Return `name`: `best`, `all`, or one that some kernel of the run is offered by.

    `offered` lists each kernel's implementations. Raises UsageError for a name that nothing has.
    """
    known = sorted({each for names in offered.values() for each in names})
    if name not in ("best", "all", *known):
        raise UsageError(
            f"--implementation: unknown {name!r}{one_of(name, ['best', 'all', *known])}"
        )
    return name
