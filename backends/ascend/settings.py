"""Settings of torch-npu that change how fast it launches operators, and so every host-bound row.

Source: the environment variable reference of Ascend Extension for PyTorch (hiascend.com).
"""

from __future__ import annotations

from collections.abc import Mapping

# What each decides: how launches are queued, which processors launch, how memory is cached.
SETTINGS = ("TASK_QUEUE_ENABLE", "CPU_AFFINITY_CONF", "PYTORCH_NPU_ALLOC_CONF")


def settings_text(environment: Mapping[str, str]) -> str | None:
    """Describe the settings of a row, None where all are torch-npu's defaults."""
    known = [f"{name}={environment[name]}" for name in SETTINGS if name in environment]
    return "; ".join(known) or None
