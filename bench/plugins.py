"""Finds backends, kernels, implementations and tables of chips by their entry points.

The ones that ship with the harness are found the same way. Nothing is imported before it is needed. A
plug-in that cannot be imported is reported with the reason and does not affect the others.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import FrameType
from typing import Any

from bench.errors import InputWarning, UsageError, one_of
from bench.kernels.base import Kernel
from bench.python_process import how_it_ended, python_command, python_environment

BACKENDS = "bench.backends"
KERNELS = "bench.kernels"
IMPLEMENTATIONS = "bench.implementations"
CHIPS = "bench.chips"

# Importing torch from a cold disk takes a minute or two.
LOAD_TIMEOUT_S = 180.0

# The environment variable by which started processes know what to leave out: reasons by group and name.
LEFT_OUT = "BENCH_PLUGINS_LEFT_OUT"

# Set in a worker: called with group and name before a plug-in is imported, with None for the name after it.
announce: Callable[[str, str | None], None] | None = None

# An exception is no reason to stop here: it is reported by the process that loads the plug-in for itself.
_TRIAL = """
import os
from importlib.metadata import EntryPoint
name, value, group, survived = sys.argv[1:]
try:
    EntryPoint(name, value, group).load()
except BaseException:
    pass
os.write(1, survived.encode())
os._exit(0)
"""


@dataclass
class Plugins:
    """The plug-ins of one group: the loaded objects, and for the others why they did not load."""

    loaded: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def registered(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, sorted, without importing any of them.

    Of several with one name, the harness's own counts, else the first by its value; see `clashes`.
    """
    return {name: points[0] for name, points in _by_name(group).items()}


def clashes(group: str) -> dict[str, str]:
    """Return the names that several packages register, and what each registers."""
    return {
        name: f"{points[0].value} is used, and not {', '.join(p.value for p in points[1:])}"
        for name, points in _by_name(group).items()
        if len(points) > 1
    }


def _by_name(group: str) -> dict[str, list[EntryPoint]]:
    """Return the different entry points of each name, the one that counts first."""

    def order(point: EntryPoint) -> tuple[str, bool, str]:
        return point.name, not _is_ours(point), point.value

    points_by_name: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=group), key=order):
        points = points_by_name.setdefault(point.name, [])
        if all(point.value != known.value for known in points):
            points.append(point)
    return points_by_name


def _is_ours(point: EntryPoint) -> bool:
    return point.value.startswith(("bench.", "backends."))


@cache
def load_all(group: str) -> Plugins:
    """Import every plug-in of a group, and collect the errors of those that fail."""
    plugins = Plugins(broken=_left_out(group))
    for name, text in clashes(group).items():
        warnings.warn(f"{group}: two plug-ins named {name}: {text}", InputWarning, stacklevel=2)
    for name, point in registered(group).items():
        if name in plugins.broken:
            continue
        try:
            plugins.loaded[name] = _load(point)
        except (Exception, SystemExit) as error:
            plugins.broken[name] = f"{type(error).__name__}: {error}"
    return plugins


@cache
def load_kernel(name: str) -> type[Kernel] | None:
    """Return a kernel without importing the others; None if it is not installed, or broken."""
    point = registered(KERNELS).get(name)
    try:
        kernel: type[Kernel] | None = _load(point) if point is not None else None
    except (Exception, SystemExit):
        return None
    return kernel


def _load(point: EntryPoint) -> Any:
    """Import a plug-in, whatever it does. Raises its exceptions, or one that says what it did."""
    with _isolated(point), _limited(LOAD_TIMEOUT_S), _output_to_stderr():
        return point.load()


def leave_out(group: str, name: str, reason: str) -> None:
    """Warn, and do not load a plug-in any more, here or in processes that are started from now on."""
    text = f"the plug-in {name} ({group}) is left out: {reason}"
    warnings.warn(text, InputWarning, stacklevel=2)
    known = json.loads(os.environ.get(LEFT_OUT, "{}"))
    known.setdefault(group, {})[name] = reason
    os.environ[LEFT_OUT] = json.dumps(known)
    load_all.cache_clear()


def _left_out(group: str) -> dict[str, str]:
    """Return the plug-ins of a group that are not to be loaded, and why."""
    reasons: dict[str, str] = json.loads(os.environ.get(LEFT_OUT, "{}")).get(group, {})
    return reasons


@contextmanager
def _isolated(point: EntryPoint) -> Iterator[None]:
    """Make sure that a plug-in that ends its process when it is imported is named, and left out.

    A worker announces what it imports, so that its supervisor knows. The program itself imports it in
    another process first. Raises ImportError where that one ended.
    """
    if _is_ours(point) or point.module in sys.modules:
        yield
    elif announce is not None:
        announce(point.group, point.name)
        yield
        announce(point.group, None)
    else:
        if reason := _fatal(point):
            leave_out(point.group, point.name, reason)
            raise ImportError(reason)
        yield


def _fatal(point: EntryPoint) -> str | None:
    """Import a plug-in in another process; return how that ended if the plug-in ended it."""
    survived = secrets.token_hex(8)
    arguments = [point.name, point.value, point.group, survived]
    try:
        done = subprocess.run(
            python_command(_TRIAL, *arguments),
            env=python_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LOAD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"importing it was not done after {LOAD_TIMEOUT_S:g} s"
    if survived.encode() in done.stdout:
        return None
    return f"importing it {how_it_ended(done.returncode)}"


@contextmanager
def _output_to_stderr() -> Iterator[None]:
    """Send what is printed in a block to standard error: standard output may be JSON or CSV."""
    if sys.stdout is None:
        yield
        return
    sys.stdout.flush()
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(output, 1)
        os.close(output)


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in a block that takes longer; only the main thread can be interrupted so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"importing it was not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def kernels() -> dict[str, type[Kernel]]:
    """Return the kernels that can be measured, by name."""
    return dict(load_all(KERNELS).loaded)


def load_backend(name: str) -> Any:
    """Return an instance of the backend `name`.

    Raises UsageError if no plug-in has that name. Exceptions of the plug-in itself propagate.
    """
    points = registered(BACKENDS)
    if name not in points:
        raise UsageError(f"--backend: unknown backend {name!r}{one_of(name, points)}")
    return points[name].load()()
