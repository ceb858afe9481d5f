"""Checks of what a backend says about itself: types, ranges, and names that are unique."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bench import plugins
from bench.backend import TOLERATED_EXCESS, Finding, Limits
from bench.conform.cases import DTYPE_ORDER, KERNEL_ORDER, grid
from bench.conform.check import Check
from bench.conform.outcomes import Failed, NotApplicable
from bench.conform.subject import Subject, make_case
from bench.kernels.base import Kernel
from bench.measure.border import checked, checked_devices, checked_priority, checked_texts

LEVELS = ("ok", "warn", "fail")


def available(subject: Subject) -> str:
    """Ask whether the backend can be used, and for its priority."""
    reason = subject.backend.unavailable()
    if reason is not None:
        raise Failed(f"unavailable() returned {reason!r:.80} beside a device")
    return f"available, priority {checked_priority(subject.backend)}"


def devices(subject: Subject) -> str:
    """Look at every device, and ask for them a second time."""
    found = checked_devices(subject.backend)
    indices = [device.index for device in found]
    if indices != sorted(indices) or indices[0] < 0:
        raise Failed(f"indices {indices}; expected ascending ones from 0")
    for device in found:
        if not device.name.strip() or not device.chip.strip():
            raise Failed(f"device {device.index} has no name or no chip: {device}")
        for field in ("memory_bytes", "cache_bytes", "threads"):
            value = getattr(device, field)
            if value is not None and value <= 0:
                raise Failed(f"device {device.index}: {field} is {value}; unknown values are None")
        # Drivers grow and shrink nothing: only what is in use changes.
    again = checked_devices(subject.backend)
    if again != found:
        raise Failed(f"asked twice, devices() returned {found} and {again}")
    return f"{len(found)} device{'s' * (len(found) != 1)}: {subject.device.name}"


def versions(subject: Subject) -> str:
    """Look at the versions of libraries."""
    value = subject.backend.versions()
    if not isinstance(value, dict):
        raise Failed(f"versions() returned {value!r:.80}")
    checked_texts(value, "versions()")
    if not value:
        raise Failed("versions() is empty: nobody will know what was measured")
    return ", ".join(f"{name} {version}" for name, version in value.items())


def implementations(subject: Subject) -> str:
    """Look at the names of each kernel's implementations."""
    count = 0
    for kernel in plugins.kernels():
        names = list(checked_texts(subject.backend.implementations(kernel), "implementations()"))
        if len(set(names)) < len(names) or not all(name.strip() for name in names):
            raise Failed(f"implementations({kernel!r}) returned {names}")
        count += len(names)
    if not count:
        raise Failed("no kernel has an implementation")
    unknown = subject.backend.implementations("no_such_kernel")
    if unknown not in ([], ()):
        raise Failed(f"implementations('no_such_kernel') returned {unknown!r:.80}; expected none")
    return f"{count} for {len(plugins.kernels())} kernels"


def unsupported(subject: Subject) -> str:
    """Ask about every case of the grids."""
    asked = refused = 0
    for case, implementation in _every_case(subject):
        reason = subject.backend.unsupported(case, implementation, subject.device)
        if reason is not None and not (isinstance(reason, str) and reason.strip()):
            raise Failed(
                f"unsupported() returned {reason!r:.40} for {case.label()}; expected a sentence or None"
            )
        asked += 1
        refused += reason is not None
    return f"{asked - refused} of {asked} cases are supported"


def _every_case(subject: Subject) -> Iterator[tuple[Kernel, str]]:
    for kernel in KERNEL_ORDER:
        for implementation in subject.backend.implementations(kernel):
            for parameters in grid(kernel):
                for dtype in DTYPE_ORDER:
                    if case := make_case(kernel, parameters, dtype):
                        yield case, implementation


def limits(subject: Subject) -> str:
    """Look at the peaks and ceilings of every dtype."""
    known = 0
    for dtype in DTYPE_ORDER:
        value = checked(subject.backend.limits(subject.device, dtype), Limits, "limits()")
        for name, figure in asdict(value).items():
            if isinstance(figure, (int, float)) and figure <= 0:
                raise Failed(f"{dtype}: {name} is {figure}; unknown values are None")
        for kind, unit in (("tflops", "TFLOP/s"), ("gbps", "GB/s")):
            peak, ceiling = (getattr(value, f"{which}_{kind}") for which in ("peak", "ceiling"))
            if peak is not None and ceiling is not None and ceiling > TOLERATED_EXCESS * peak:
                raise Failed(f"{dtype}: a ceiling of {ceiling:g} above a peak of {peak:g} {unit}")
            known += (peak is not None) + (ceiling is not None)
        for which in ("peak", "ceiling"):
            rates = (getattr(value, f"{which}_{kind}") for kind in ("tflops", "gbps"))
            if any(rate is not None for rate in rates) and not getattr(value, f"{which}_source"):
                raise Failed(f"{dtype}: a {which} without a {which}_source")
    return f"{known} peaks and ceilings of {len(DTYPE_ORDER)} dtypes"


def findings(subject: Subject) -> str:
    """Look at what the backend tells `bench doctor`."""
    diagnose: Any = getattr(subject.backend, "diagnose", None)
    if diagnose is None:
        raise NotApplicable("the backend has no diagnose()")
    found = list(diagnose())
    for finding in found:
        if not isinstance(finding, Finding):
            raise Failed(f"diagnose() returned {finding!r:.80}; expected Findings")
        texts = [finding.topic, finding.text, *([] if finding.mend is None else [finding.mend])]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise Failed(f"topic, text or mend is no text: {finding!r:.120}")
        if finding.level not in LEVELS:
            raise Failed(f"level {finding.level!r:.40}; expected one of {', '.join(LEVELS)}")
    return f"{len(found)} finding{'s' * (len(found) != 1)}"


CHECKS = (
    Check("availability", "Backend.unavailable", "None beside devices", available, "backend"),
    Check(
        "devices",
        "Device",
        "unique ascending indices, names, and sizes above 0 or None; the same when asked again",
        devices,
        "backend",
    ),
    Check("versions", "Backend.versions", "versions by library", versions, "backend"),
    Check(
        "implementations",
        "Backend.implementations",
        "unique names for each kernel, none for an unknown kernel",
        implementations,
        "backend",
    ),
    Check(
        "unsupported",
        "Backend.unsupported",
        "a sentence or None for each case",
        unsupported,
        "backend",
    ),
    Check(
        "limits",
        "Limits",
        "rates above 0 or None, each with a source; no ceiling above its peak",
        limits,
        "backend",
    ),
    Check(
        "findings", "Finding", "level ok, warn or fail, with topic and text", findings, "backend"
    ),
)
