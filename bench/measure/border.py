"""Checks what a backend's methods return, so that a wrong value costs only what is the backend's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_type_hints

from bench.backend import Backend, Device
from bench.errors import BenchError

T = TypeVar("T")


class WrongValue(BenchError):
    """A plug-in returned what its contract does not allow."""


def checked(value: object, expected: type[T], what: str) -> T:
    """Return a dataclass of the contract whose fields have the types that it declares.

    Raises WrongValue, which begins with `what`, for anything else; numbers must be finite.
    """
    if not isinstance(value, expected):
        raise WrongValue(f"{what} returned {value!r:.80}; expected a {expected.__name__}")
    hints = get_type_hints(expected)
    for field in fields(expected):  # type: ignore[arg-type]
        actual, hint = getattr(value, field.name), hints[field.name]
        if not any(_fits(actual, kind) for kind in get_args(hint) or (hint,)):
            names = " or ".join(
                "None" if kind is type(None) else kind.__name__
                for kind in get_args(hint) or (hint,)
            )
            raise WrongValue(f"{what}: {field.name} is {actual!r:.80}; expected {names}")
    return value


def _fits(value: object, kind: type) -> bool:
    if kind in (int, float) and isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, kind)


def checked_devices(backend: Backend) -> tuple[Device, ...]:
    """Return the devices of a backend. Raises WrongValue."""
    what = f"devices() of backend {backend.name}"
    value: Any = backend.devices()
    if not isinstance(value, (list, tuple)):
        raise WrongValue(f"{what} returned {value!r:.80}; expected a list of Device")
    devices = tuple(checked(device, Device, what) for device in value)
    if len({device.index for device in devices}) < len(devices):
        raise WrongValue(f"{what} returned the same index twice")
    return devices


def checked_priority(backend: Backend) -> int:
    """Return the priority of a backend. Raises WrongValue."""
    if not _fits(backend.priority, int):
        raise WrongValue(
            f"priority of backend {backend.name} is {backend.priority!r:.80}; expected int"
        )
    return backend.priority


def checked_texts(value: Any, what: str) -> Any:
    """Return a list of texts, or a mapping of texts to texts. Raises WrongValue."""
    texts = [*value, *value.values()] if isinstance(value, Mapping) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise WrongValue(f"{what} returned {value!r:.80}; expected texts")
    return value
