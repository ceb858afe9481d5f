"""What each backend offers here, and what it says about its own drivers and devices."""

from __future__ import annotations

from bench.backend import Finding
from bench.measure.client import WorkerDied, WorkerProcess, WorkerTimeout
from bench.measure.protocol import BackendDescription


def examine(name: str, timeout_s: float) -> tuple[bool, list[Finding]]:
    """Return whether a backend can measure, and what was found; never raises for what it does."""
    worker = WorkerProcess()
    try:
        (description,) = worker.describe([name], timeout_s)
        found = judge(description)
        return found[0].level == "ok", found + worker.diagnose(name, timeout_s)
    except WorkerDied as death:
        return False, [Finding("fail", "devices", f"while it was looked at, {death}")]
    except WorkerTimeout:
        return False, [
            Finding(
                "fail",
                "devices",
                f"it did not answer within {timeout_s:g} s: a driver hangs, or a disk is slow",
                f"bench doctor --timeout {4 * timeout_s:g}",
            )
        ]
    finally:
        worker.discard()


def judge(description: BackendDescription) -> list[Finding]:
    """Return the finding about the devices first, then the one about the libraries."""
    if description.unavailable is not None:
        return [Finding("fail", "devices", description.unavailable)]
    if not description.devices:
        return [Finding("fail", "devices", "none")]
    kinds: dict[str, list[int]] = {}
    for device in description.devices:
        memory = f", {device.memory_bytes / 2**30:.0f} GiB" if device.memory_bytes else ""
        driver = f", driver {device.driver}" if device.driver else ""
        runtime = f", {device.runtime}" if device.runtime else ""
        mark = " (SIMULATED)" if device.simulated else ""
        title = f"{device.name}{memory}{driver}{runtime}{mark}"
        kinds.setdefault(title, []).append(device.index)
    text = "; ".join(f"{_numbers(indices)}: {title}" for title, indices in kinds.items())
    versions = ", ".join(f"{name} {version}" for name, version in description.versions.items())
    found = [Finding("ok", "devices", text)]
    if versions:
        found.append(Finding("ok", "libraries", versions))
    return found


def _numbers(indices: list[int]) -> str:
    """Return 0, or 0–7 for several in a row."""
    if len(indices) > 2 and indices == list(range(indices[0], indices[-1] + 1)):
        return f"{indices[0]}–{indices[-1]}"
    return ", ".join(map(str, indices))
