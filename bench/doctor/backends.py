"""The devices and libraries of each backend, and its findings on its own drivers."""

from __future__ import annotations

from bench.backend import Finding
from bench.measure.client import WorkerDied, WorkerProcess, WorkerTimeout
from bench.measure.protocol import BackendDescription


def examine(name: str, timeout_s: float) -> tuple[bool, list[Finding]]:
    """Return whether a backend can measure, and the findings. What a backend does raises nothing here."""
    worker = WorkerProcess()
    try:
        (description,) = worker.describe([name], timeout_s)
        findings = judge(description)
        return findings[0].level == "ok", findings + worker.diagnose(name, timeout_s)
    except WorkerDied as death:
        return False, [Finding("fail", "devices", f"while it was examined, {death}")]
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
    """Judge the devices, which come first, and the libraries."""
    if description.unavailable is not None:
        return [Finding("fail", "devices", description.unavailable)]
    if not description.devices:
        return [Finding("fail", "devices", "none")]
    kinds: dict[str, list[int]] = {}
    for device in description.devices:
        memory = f", {device.memory_bytes / 2**30:.0f} GiB" if device.memory_bytes else ""
        driver = f", driver {device.driver}" if device.driver else ""
        runtime = f", {device.runtime}" if device.runtime else ""
        simulated = " (SIMULATED)" if device.simulated else ""
        title = f"{device.name}{memory}{driver}{runtime}{simulated}"
        kinds.setdefault(title, []).append(device.index)
    text = "; ".join(f"{_numbers(indices)}: {title}" for title, indices in kinds.items())
    versions = ", ".join(f"{name} {version}" for name, version in description.versions.items())
    findings = [Finding("ok", "devices", text)]
    if versions:
        findings.append(Finding("ok", "libraries", versions))
    return findings


def _numbers(indices: list[int]) -> str:
    """Write 0, or 0–7 for three and more in a row."""
    if len(indices) > 2 and indices == list(range(indices[0], indices[-1] + 1)):
        return f"{indices[0]}–{indices[-1]}"
    return ", ".join(map(str, indices))
