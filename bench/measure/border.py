"""Checks what a backend's methods return, so that a wrong value costs only what is the backend's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np

from bench.backend import TIMINGS, Backend, Device, Prepared
from bench.errors import BenchError
from bench.measure.outputs import Outputs

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


def checked_prepared(prepared: Prepared, what: str) -> Prepared:
    """Return a prepared case whose attributes are as the contract says. Raises WrongValue."""
    if prepared.timing not in TIMINGS:
        raise WrongValue(
            f"{what}: timing is {prepared.timing!r:.40}; expected one of {', '.join(TIMINGS)}"
        )
    if not _fits(prepared.flush_bytes, int) or prepared.flush_bytes < 0:
        raise WrongValue(
            f"{what}: flush_bytes is {prepared.flush_bytes!r:.40}; expected bytes, as an int"
        )
    for name in ("compile_s", "launch_s"):
        seconds = getattr(prepared, name, None)
        if seconds is not None and not (_fits(seconds, float) and seconds >= 0):
            raise WrongValue(f"{what}: {name} is {seconds!r:.40}; expected seconds or None")
    multiple = getattr(prepared, "multiple", 1)
    if not _fits(multiple, int) or multiple < 1:
        raise WrongValue(f"{what}: multiple is {multiple!r:.40}; expected an int of 1 or more")
    return prepared


def checked_outputs(value: Any, what: str) -> Outputs:
    """Return copies of outputs, which may be the backend's own buffers. Raises WrongValue."""
    if not isinstance(value, Mapping):
        raise WrongValue(f"{what} returned {value!r:.80}; expected numpy arrays by name")
    outputs = {}
    for name, array in value.items():
        if not isinstance(name, str):
            raise WrongValue(f"{what} named an output {name!r:.40}; expected text")
        if not isinstance(array, (np.ndarray, np.generic)) or array.dtype.kind not in "iuf":
            kind = getattr(array, "dtype", type(array).__name__)
            raise WrongValue(f"{what}: {name} is of {kind}; expected a numpy array of real numbers")
        outputs[name] = np.array(array)
    return outputs


def checked_stages(value: Any, what: str) -> dict[str, float]:
    """Return the seconds of each stage. Raises WrongValue."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise WrongValue(f"{what} returned {value!r:.80}; expected seconds by stage")
    for stage, seconds in value.items():
        if not (_fits(seconds, float) and seconds > 0):
            raise WrongValue(f"{what}: {stage} took {seconds!r:.40}; expected seconds above 0")
    return dict(value)
