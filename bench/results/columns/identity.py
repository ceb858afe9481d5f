"""Which run a row belongs to, and which device it is about."""

from __future__ import annotations

from bench.results.columns.column import SCHEMA_VERSION, SHA256, UTC, Column, group

IDENTITY = group(
    "identity",
    Column(
        "schema_version",
        "integer",
        f"version of these columns: {SCHEMA_VERSION}",
        "always",
        minimum=1,
    ),
    Column("run_id", "text", "one call of `bench run`; a resumed file has several", "always"),
    Column(
        "case_id",
        "text",
        "kernel, dtype and a hash of all parameters: the same on every chip",
        "always",
    ),
    Column("started_at", "time", "when the case began, UTC", "always", pattern=UTC),
    Column("host", "text", "name of the machine", "always"),
    Column("config", "text", "name of the config", "always"),
    Column("config_sha256", "text", "SHA-256 of what the config says", "always", pattern=SHA256),
    Column("git_commit", "text", "commit of the harness; `-dirty` with local changes"),
    Column("harness_version", "text", "version of the harness", "always"),
    Column("seed", "integer", "seed of inputs and routing", "always", minimum=0),
)

DEVICE = group(
    "device",
    Column("backend", "text", "backend that ran the case", "always"),
    Column("chip", "text", "chip, as `bench list chips` names it if it can", "always"),
    Column("device_name", "text", "name that the driver reports", "always"),
    Column("device_index", "integer", "index within the backend", "always", minimum=0),
    Column("driver", "text", "version of the device's driver"),
    Column("runtime", "text", "version of the device's runtime, such as CUDA or CANN"),
    Column("torch", "text", "version of torch"),
    Column(
        "libraries",
        "text",
        "versions of other libraries that compute, and settings that rounding depends on",
        late=True,
    ),
    Column("python", "text", "version of Python", "always"),
    Column("threads", "integer", "threads that a CPU was given", minimum=1),
    Column(
        "devices_together",
        "integer",
        "devices that measured the case at the same time, this one included",
        minimum=1,
    ),
    Column("simulated", "boolean", "true: no real device, and so no measurement", "always"),
)
