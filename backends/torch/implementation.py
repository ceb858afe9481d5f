"""Implementations of kernels on torch devices: what one provides, and which are offered in which order.

They are loaded from the entry point group `bench.implementations`. An entry point's key names kernel
and implementation, as in `matmul.triton`; its value is a class without constructor arguments:

    matmul.fast = my_package:FastMatmul

backends/preferences.py holds the order of those that come with the harness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch

from backends.preferences import OTHER, PREFERENCES
from bench import plugins
from bench.errors import Unsupported, one_of

Tensors = Mapping[str, torch.Tensor]
Step = Callable[[], Tensors]  # computes a case once
Mark = Callable[[str], None]  # called with a stage's name when a part of that stage has ended


def unmarked(stage: str) -> None:
    """Ignore the end of a stage."""


def reads_back(implementation: str) -> str:
    """Say why an implementation whose launches depend on the device's values makes no graph."""
    return f"{implementation} reads back which rows each expert has; a graph cannot record that"


class TorchImplementation(Protocol):
    """One way to compute a kernel with torch.

    Optional class attributes: `compiles = True` for one that compiles or tunes at its first execution,
    whose time is then reported apart; `staged = True` for one whose `build` takes a third argument,
    `mark`, and calls it at the end of each part of a stage.
    """

    def unsupported(self, case: Any, device: torch.device) -> str | None:
        """Say in a sentence why this implementation cannot compute the case; None if it can."""

    def build(self, case: Any, operands: Tensors) -> Step:
        """Prepare the case: allocate, lay out weights, and return what computes it once."""


@runtime_checkable
class Placed(Protocol):
    """An implementation that names its place in the order, as on some machines or from other packages."""

    def before(self, device_type: str) -> str | None:
        """Name the implementation that this one goes directly in front of, None for its usual place."""


def offered(kernel: str, device_type: str) -> list[str]:
    """List a kernel's implementations for devices of a torch type (cpu, cuda, npu, …), preferred first.

    The harness's own are offered where backends/preferences.py lists them; all others everywhere.
    """
    classes = _classes(kernel)
    by_type = PREFERENCES.get(kernel, {})
    known = {name for names in by_type.values() for name in names}
    listed = by_type.get(device_type, by_type.get(OTHER, ()))
    names = [name for name in listed if name in classes]
    names += [name for name in classes if name not in known]
    for name in list(names):
        try:
            implementation, follower = classes[name](), None
            if isinstance(implementation, Placed):
                follower = implementation.before(device_type)
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
            plugins.leave_out(plugins.IMPLEMENTATIONS, f"{kernel}.{name}", reason)
            names.remove(name)
            continue
        if follower in names and follower != name:
            names.remove(name)
            names.insert(names.index(follower), name)
    return names


def find(kernel: str, name: str) -> TorchImplementation:
    """Make an implementation. Raises Unsupported with the known names, or why it does not load."""
    classes = _classes(kernel)
    if name in classes:
        return classes[name]()
    broken = plugins.load_all(plugins.IMPLEMENTATIONS).broken.get(f"{kernel}.{name}")
    if broken is not None:
        raise Unsupported(f"implementation {name!r} of {kernel} cannot be loaded: {broken}")
    raise Unsupported(f"no implementation {name!r} of {kernel}{one_of(name, classes)}")


def _classes(kernel: str) -> dict[str, type[TorchImplementation]]:
    """List the classes that loaded by implementation name, in alphabetical order."""
    prefix = f"{kernel}."
    loaded = plugins.load_all(plugins.IMPLEMENTATIONS).loaded
    return {
        key.removeprefix(prefix): value for key, value in loaded.items() if key.startswith(prefix)
    }
