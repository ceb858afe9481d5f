"""What supervisor and worker say to each other: JSON objects, one a line, over a pair of pipes.

Requests are `describe`, `diagnose` and `measure`; a worker answers each with any number of
`progress` messages and one `done`. A `gated` measurement says `ready` after its warm-up, and waits
for `go`. The worker's own output goes elsewhere, so nothing that a library prints can be mistaken
for an answer.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.backend import Device, Limits, Telemetry


@dataclass(frozen=True)
class Measure:
    """A request: measure one case by one implementation (or `best`) on one device."""

    kernel: str
    parameters: dict[str, Any]
    label: str
    backend: str
    implementation: str
    device_index: int
    seed: int
    precision: float
    time_budget_s: float
    gated: bool = False
    stages: bool = False


@dataclass(frozen=True)
class Outcome:
    """An answer: how the case ended, and everything that was learned on the way."""

    status: str  # one of bench.results.schema.STATUSES
    error: str | None = None
    traceback: str | None = None
    implementation: str | None = None
    verified: bool | None = None
    rel_error: float | None = None
    tolerance: float | None = None
    compared: str | None = None
    values_s: list[float] = field(default_factory=list)
    warm_ups: list[tuple[int, float]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    loops: int | None = None
    timing: str | None = None
    flush_bytes: int | None = None
    compile_s: float | None = None
    stop_reason: str | None = None
    limits: Limits = field(default_factory=Limits)
    telemetry: Telemetry = field(default_factory=Telemetry)
    phases_s: dict[str, float] = field(default_factory=dict)
    stages: dict[str, list[float]] = field(default_factory=dict)  # seconds of one execution


@dataclass(frozen=True)
class BackendDescription:
    """What a worker found out about one backend; `unavailable` is None where it can be used."""

    name: str
    unavailable: str | None
    priority: int = 0
    devices: tuple[Device, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    implementations: dict[str, list[str]] = field(default_factory=dict)


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as one line; infinite values travel as JavaScript writes them."""
    return json.dumps(message).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Return the message of one line."""
    message: dict[str, Any] = json.loads(line)
    return message


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain JSON values."""
    return asdict(outcome)


def outcome_from_json(data: dict[str, Any]) -> Outcome:
    """Return the outcome that `outcome_to_json` wrote."""
    data = dict(data)
    data["limits"] = Limits(**data["limits"])
    data["telemetry"] = Telemetry(**data["telemetry"])
    data["warm_ups"] = [(loops, value) for loops, value in data["warm_ups"]]
    return Outcome(**data)


def description_from_json(data: dict[str, Any]) -> BackendDescription:
    """Return the description that `asdict` made of it."""
    devices = tuple(Device(**device) for device in data["devices"])
    return BackendDescription(**{**data, "devices": devices})
