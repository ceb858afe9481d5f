"""Backend `ascend`: Huawei Ascend NPUs by torch-npu and CANN, timed by device events.

The driver shows each of the two dies of a 910C as a device, and so does this backend.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import torch

from backends.ascend import dcmi, doctor, node
from backends.ascend.errors import explain, in_words, meaning
from backends.ascend.node import npu
from backends.ascend.placement import Placement
from backends.ascend.settings import settings_text
from backends.ascend.telemetry import NpuSampler
from backends.torch.device import TorchBackend
from backends.torch.events import EventTimer, launch_seconds
from backends.torch.graphs import recorded
from backends.torch.implementation import Step, Tensors
from bench.backend import Device, Finding, Limits, Prepared, Telemetry
from bench.catalog.chips import find_chip
from bench.errors import Unsupported
from bench.kernels.base import Kernel

# Chips before the 910B, as torch-npu names them; their Cube multiplies float16 and int8 only.
FIRST_GENERATION = (
    *("Ascend910A", "Ascend910B", "Ascend910ProA", "Ascend910ProB", "Ascend910PremiumA"),
    *("Ascend310P1", "Ascend310P2", "Ascend310P3", "Ascend310P4", "Ascend310P5", "Ascend310P7"),
)

# The L2 cache of a 910B, and of a die of a 910C (CANN, platform_config/*.ini, l2_size).
L2_BYTES = 192 << 20
WITH_L2 = re.compile(r"Ascend910(B\d|_93)")

# Products before the first case, which raise an idle NPU's clock (FlagTree, pull request 751).
WARM_UP_WIDTH = 1024
WARM_UP_PRODUCTS = 8
WARM_UP_STEADY = 0.02
WARM_UP_MOST = 2000


class AscendBackend(TorchBackend):
    """Every NPU that ASCEND_RT_VISIBLE_DEVICES leaves visible."""

    name: ClassVar[str] = "ascend"
    priority: ClassVar[int] = 110
    device_type: ClassVar[str] = "npu"
    process_group: ClassVar[str] = "hccl"
    _remark: str | None = None  # on where the operators of the prepared case run

    def unavailable(self) -> str | None:
        """Say why no NPU can be used: packages, CANN, the driver, or permissions."""
        problem = node.package_problem() or node.import_problem()
        if problem is not None:
            return problem
        try:
            count = npu().device_count()
            if count:
                npu().init()
        except Exception as error:
            return node.permission_problem() or explain(str(error))
        return None if count else node.no_device_reason()

    def devices(self) -> list[Device]:
        """List the visible NPUs, by torch-npu's numbers."""
        return [self._device(index) for index in range(npu().device_count())]

    def _device(self, index: int) -> Device:
        with in_words():
            properties = npu().get_device_properties(index)
        chip = find_chip(properties.name)
        simulated = node.simulated()
        suffix = " (simulated)" if simulated else ""
        return Device(
            index=index,
            name=properties.name,
            chip=chip.id if chip else properties.name,
            memory_bytes=properties.total_memory,
            # Added in torch-npu 7.2.0.
            cache_bytes=getattr(properties, "L2_cache_size", None) or _cache_bytes(properties.name),
            driver=_driver() + suffix,
            runtime=f"CANN {_cann_version('CANN')}{suffix}",
            simulated=simulated,
        )

    def versions(self) -> dict[str, str]:
        """List the versions of torch, torch-npu and CANN."""
        import torch_npu

        return {
            **super().versions(),
            "torch-npu": torch_npu.__version__,
            "CANN": _cann_version("CANN"),
        }

    def torch_device(self, device: Device) -> torch.device:
        """Name the device as torch does: `npu:N`."""
        return torch.device("npu", device.index)

    def free_bytes(self, device: Device) -> int | None:
        """Ask the driver how much memory is free."""
        with in_words():
            npu().set_device(device.index)
            free, _ = npu().mem_get_info(device.index)
        return int(free)

    def dtype_unsupported(self, dtype: str, device: Device) -> str | None:
        """Say why the NPU does not multiply in a dtype; None if it does."""
        if dtype == "tf32":
            return "tf32 is a format of NVIDIA GPUs; use hf32 instead"
        if dtype == "float64":
            return "NPUs do not compute in float64"
        if dtype == "float4_e2m1":
            return "no torch-npu product of float4_e2m1 is implemented here"
        if dtype == "float8_e4m3" and not device.name.startswith("Ascend950"):
            return f"float8 needs an Ascend 950, this is an {device.name}"
        if dtype in ("bfloat16", "hf32") and device.name in FIRST_GENERATION:
            return f"{dtype} needs an Ascend 910B1 or newer, this is an {device.name}"
        return None

    def prepare(self, case: Any, implementation: str, device: Device, inputs: Any) -> Prepared:
        """Allocate the case with float32 products as the dtype asks: in full, or as hf32."""
        with self.translating():
            npu().set_device(device.index)
            set_task_queue(graph=case.graph)
            npu().matmul.allow_hf32 = case.dtype == "hf32"
            old = device.name in FIRST_GENERATION
            warm_up(self.torch_device(device), torch.float16 if old else torch.bfloat16)
            npu().empty_cache()
            npu().reset_peak_memory_stats(device.index)
        return super().prepare(case, implementation, device, inputs)

    def translated(self, error: Exception) -> Exception:
        """Translate an error of torch-npu."""
        return meaning(error)

    def diagnose(self) -> list[Finding]:
        """Examine this node for `bench doctor`."""
        return doctor.diagnose()

    def examine(self, case: Kernel, step: Step) -> None:
        """Execute a step once to learn where its operators run; refuse what torch-npu left to the host."""
        with Placement() as placement:
            step()
        if placement.on_host:
            names = ", ".join(sorted(placement.on_host))
            raise Unsupported(
                f"{names} would run on the CPU: this torch-npu has no NPU kernel for it"
            )
        if case.graph and placement.host_reads:
            names = ", ".join(sorted(placement.host_reads))
            raise Unsupported(f"{names} makes the host wait, which a graph cannot record")
        self._remark = placement.remark()

    def recorded(self, steps: list[Step], device: Device) -> Step:
        """Record the steps as NPUGraphs and return their replays."""
        if not hasattr(npu(), "NPUGraph"):
            raise Unsupported("this torch-npu has no graphs; install a newer one")
        return recorded(steps, self.torch_device(device), npu().NPUGraph)

    def timer(self, device: Device) -> EventTimer:
        """Time with a pair of events on a dedicated stream."""
        return EventTimer(self.torch_device(device))

    def limits(self, device: Device, dtype: str) -> Limits:
        """Look up the peak rates, and measure the time of an empty launch."""
        chip = find_chip(device.name)
        known = chip.limits(dtype) if chip else Limits()
        with in_words():
            # Else torch's current device, 0, would get a context of this process, too.
            npu().set_device(device.index)
            launch_s = launch_seconds(self.torch_device(device))
        return Limits(
            peak_tflops=known.peak_tflops,
            peak_gbps=known.peak_gbps,
            peak_source=known.peak_source,
            launch_s=launch_s,
        )

    def telemetry(self, device: Device) -> AscendTelemetry:
        """Sample the chip's sensors, and torch-npu's count of memory."""
        return AscendTelemetry(device.index, self._remark)


class AscendTelemetry:
    """The chip's sensors, by DCMI or npu-smi, and the peak of the case's memory."""

    def __init__(self, index: int, remark: str | None = None) -> None:
        self._index = index
        self._remark = remark
        # A simulated node may run on a machine with real chips, whose sensors are not its own.
        foreign = node.simulated() and not dcmi.simulated()
        self._sensors = None if foreign else NpuSampler(index)

    def start(self) -> None:
        """Begin to watch."""
        if self._sensors is not None:
            self._sensors.start()

    def stop(self) -> Telemetry:
        """Summarize what was sampled since `start`."""
        telemetry = self._sensors.stop() if self._sensors is not None else Telemetry()
        remarks = [text for text in (self._remark, telemetry.remark) if text]
        return replace(
            telemetry,
            memory_peak_bytes=npu().max_memory_allocated(self._index),
            device_state=current_settings(),
            remark="; ".join(remarks) or None,
        )


def set_task_queue(*, graph: bool) -> None:
    """Set the level of torch-npu's task queue: TASK_QUEUE_ENABLE, or 1 for a graph. Raises Unsupported.

    At level 2, which vllm-ascend recommends without graphs, torch-npu refuses to capture.
    """
    if os.environ.get("TASK_QUEUE_ENABLE") != "2":
        return
    if hasattr(npu(), "set_task_queue_enable"):
        npu().set_task_queue_enable(1 if graph else 2)
    elif graph:
        raise Unsupported(
            "this torch-npu captures no graphs with TASK_QUEUE_ENABLE=2; set it to 1 for `graph: true`"
        )


def current_settings() -> str | None:
    """Describe torch-npu's settings, the task queue as it is now."""
    environment = dict(os.environ)
    if "TASK_QUEUE_ENABLE" in environment and hasattr(npu(), "get_task_queue_enable"):
        environment["TASK_QUEUE_ENABLE"] = str(npu().get_task_queue_enable())
    return settings_text(environment)


@cache
def warm_up(device: torch.device, dtype: torch.dtype) -> None:
    """Multiply until the clock is steady: two batches in a row that do not beat the best by 2 %."""
    with torch.inference_mode():
        a = torch.randn(WARM_UP_WIDTH, WARM_UP_WIDTH, device=device).to(dtype)
        c = torch.empty_like(a)
        timer = EventTimer(device)

        def product() -> Tensors:
            torch.mm(a, a, out=c)
            return {"c": c}

        best, steady = float("inf"), 0
        for _ in range(WARM_UP_MOST):
            seconds = timer([product] * WARM_UP_PRODUCTS)
            steady = steady + 1 if seconds > (1 - WARM_UP_STEADY) * best else 0
            best = min(best, seconds)
            if steady == 2:
                break


def _cache_bytes(name: str) -> int | None:
    """Look up the size of the last-level cache of a chip whose torch-npu does not report it."""
    return L2_BYTES if WITH_L2.match(name) else None


@cache
def _cann_version(part: str) -> str:
    from torch_npu.npu.utils import get_cann_version

    return str(get_cann_version(part)) or "unknown"


def _driver() -> str:
    """Describe the versions of driver and firmware, as far as they are known."""
    driver = node.version_file("driver") or _cann_version("DRIVER")
    firmware = node.version_file("firmware")
    return f"{driver}, firmware {firmware}" if firmware else driver
