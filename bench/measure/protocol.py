"""The messages between supervisor and worker: JSON objects, one per line, over a pair of pipes.

A worker starts with `hello`, which says whose code it runs. The requests are `describe`, `diagnose` and
`measure`. The worker answers each with any number of messages and one `done`: `importing` names the plug-in
that it is about to import, `work` is the work of the case, `progress` its phase and samples. A visit
`together` with other devices sends `ready` after its warm-up, and waits for `go`. The worker's own output
goes elsewhere, so nothing that a library prints can be mistaken for an answer.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from bench.backend import Device, Limits, Telemetry
from bench.kernels.base import Work
from bench.kernels.routing import Load


@dataclass(frozen=True)
class CaseWork:
    """The work of a case and of its stages, and the device memory of its inputs and outputs."""

    whole: Work
    stages: dict[str, Work]
    memory_bytes: int


class VisitListener(Protocol):
    """What follows a visit while it goes on."""

    def described(self, work: CaseWork) -> None:
        """Receive the work of the case, before anything is measured."""

    def progress(self, phase: str, values_s: list[float]) -> None:
        """Receive the phase that the visit is in, and its samples so far."""


@dataclass(frozen=True)
class Verified:
    """The verification of an earlier visit: outputs with this fingerprint need no reference again."""

    fingerprint: str
    rel_error: float
    tolerance: float
    compared: str


@dataclass(frozen=True)
class Measure:
    """A request: visit one case by one implementation (or `best`) on one device.

    `time_budget_s`, `samples`, `precision` and `least_samples` are the visit's goal (see
    measure/sampling); `loops` and `verified` come from earlier visits. With `describe`, the
    worker sends the work of the case first. With `together`, samples begin when all devices that
    measure the case are warm.
    """

    kernel: str
    parameters: dict[str, Any]
    label: str
    backend: str
    implementation: str
    device_index: int
    seed: int
    time_budget_s: float
    round: int = 1
    samples: int | None = None
    precision: float | None = None
    least_samples: int = 1
    loops: int | None = None
    verified: Verified | None = None
    describe: bool = True
    together: bool = False
    stages: bool = False


@dataclass(frozen=True)
class Outcome:
    """An answer: how a visit ended, and everything that was measured on the way.

    `start_s` is the time to start the process and to load the backend, in the first visit of a process.
    `spent_s` is the time of the visit without that, without compiling, and without the reference.
    """

    status: str  # one of bench.results.columns.STATUSES
    error: str | None = None
    traceback: str | None = None
    implementation: str | None = None
    verified: bool | None = None
    rel_error: float | None = None
    tolerance: float | None = None
    compared: str | None = None
    fingerprint: str | None = None
    values_s: list[float] = field(default_factory=list)
    warm_ups: list[tuple[int, float]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    loops: int | None = None
    timing: str | None = None
    flush_bytes: int | None = None
    compile_s: float | None = None
    stop_reason: str | None = None
    host_bound: bool | None = None
    limits: Limits = field(default_factory=Limits)
    telemetry: Telemetry = field(default_factory=Telemetry)
    phases_s: dict[str, float] = field(default_factory=dict)
    stages: dict[str, list[float]] = field(default_factory=dict)  # seconds of one execution
    remarks: list[str] = field(default_factory=list)
    reference_s: float | None = None  # the backend's reference product, right after the samples
    process: int | None = None  # the id of the worker's process
    start_s: float | None = None
    spent_s: float = 0.0
    work: CaseWork | None = None  # filled in by the supervisor, from the worker's message


@dataclass(frozen=True)
class BackendDescription:
    """What one backend offers on this machine; `unavailable` is None where it can be used."""

    name: str
    unavailable: str | None
    priority: int = 0
    devices: tuple[Device, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    implementations: dict[str, list[str]] = field(default_factory=dict)


def encode(message: dict[str, Any]) -> bytes:
    """Encode a message as one line; infinite values are written as in JavaScript."""
    return json.dumps(message).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Decode the message of one line."""
    message: dict[str, Any] = json.loads(line)
    return message


def measure_from_json(data: dict[str, Any]) -> Measure:
    """Return the request that `asdict` made of it."""
    verified = data["verified"]
    return Measure(**{**data, "verified": Verified(**verified) if verified else None})


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain JSON values."""
    return asdict(outcome)


def outcome_from_json(data: dict[str, Any]) -> Outcome:
    """Return the outcome that `outcome_to_json` wrote."""
    data = dict(data)
    data["limits"] = Limits(**data["limits"])
    data["telemetry"] = Telemetry(**data["telemetry"])
    data["warm_ups"] = [(loops, value) for loops, value in data["warm_ups"]]
    if work := data.get("work"):
        data["work"] = work_from_json(work)
    return Outcome(**data)


def work_from_json(data: dict[str, Any]) -> CaseWork:
    """Return the work that `asdict` made of it."""

    def work(fields: dict[str, Any]) -> Work:
        load = fields["load"]
        return Work(**{**fields, "load": Load(**load) if load else None})

    stages = {stage: work(fields) for stage, fields in data["stages"].items()}
    return CaseWork(work(data["whole"]), stages, data["memory_bytes"])


def description_from_json(data: dict[str, Any]) -> BackendDescription:
    """Return the description that `asdict` made of it."""
    devices = tuple(Device(**device) for device in data["devices"])
    return BackendDescription(**{**data, "devices": devices})
