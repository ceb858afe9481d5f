"""Backend `cuda`: NVIDIA GPUs (and AMD ones under a ROCm build of torch), timed by device events."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import torch

from backends import nvml
from backends.torch_device import Step, Tensors, TorchBackend
from backends.torch_events import EventTimer, launch_seconds
from bench.backend import Device, Limits, Prepared, Telemetry
from bench.chips import find_chip

# Formats by the compute capability that first multiplies them in hardware (CUDA programming guide,
# arithmetic instructions; PTX ISA, mma and wgmma).
FIRST_CAPABILITY = {
    "float16": (7, 0),
    "bfloat16": (8, 0),
    "tf32": (8, 0),
    "int8": (7, 5),
    "float8_e4m3": (8, 9),
}


class CudaBackend(TorchBackend):
    """Every GPU that CUDA_VISIBLE_DEVICES leaves visible."""

    name: ClassVar[str] = "cuda"
    priority: ClassVar[int] = 100
    device_type: ClassVar[str] = "cuda"

    def unavailable(self) -> str | None:
        """Return why there is no GPU to be used: the build, the driver, or the visibility."""
        if torch.version.cuda is None and torch.version.hip is None:
            return (
                f"this torch ({torch.__version__}) is a CPU build; "
                "install one with CUDA: see pytorch.org/get-started"
            )
        if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
            return "CUDA_VISIBLE_DEVICES is empty, which hides every GPU; unset it"
        try:
            torch.cuda.init()
        except Exception as error:
            return f"{' '.join(str(error).split())} (NVML: {nvml.available() or 'works'})"
        return None if torch.cuda.device_count() else "no GPU is visible to CUDA"

    def devices(self) -> list[Device]:
        """Return the visible GPUs."""
        return [self._device(index) for index in range(torch.cuda.device_count())]

    def _device(self, index: int) -> Device:
        properties = torch.cuda.get_device_properties(index)
        chip = find_chip(properties.name)
        toolkit = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
        return Device(
            index=index,
            name=properties.name,
            chip=chip.id if chip else properties.name,
            memory_bytes=properties.total_memory,
            cache_bytes=properties.L2_cache_size,
            driver=nvml.driver_version(),
            runtime=toolkit,
        )

    def torch_device(self, device: Device) -> torch.device:
        """Return torch's `cuda:N`."""
        return torch.device("cuda", device.index)

    def free_bytes(self, device: Device) -> int | None:
        """Return what the driver says is free."""
        free, _ = torch.cuda.mem_get_info(device.index)
        return int(free)

    def dtype_unsupported(self, dtype: str, device: Device) -> str | None:
        """Return why the GPU does not multiply in a dtype, or None."""
        if dtype == "hf32":
            return "hf32 is a format of Ascend NPUs; the like of it here is tf32"
        needed = FIRST_CAPABILITY.get(dtype)
        if torch.version.hip or needed is None:
            return None
        capability = torch.cuda.get_device_capability(device.index)
        if capability < needed:
            return "{} needs compute capability {}.{}, this GPU has {}.{}".format(
                dtype, *needed, *capability
            )
        return None

    def prepare(self, case: Any, implementation: str, device: Device, inputs: Any) -> Prepared:
        """Allocate the case with float32 products as the dtype asks: in full, or as tf32."""
        torch.cuda.set_device(device.index)
        torch.backends.cuda.matmul.allow_tf32 = case.dtype == "tf32"
        # Sums of half-precision products are float32 throughout: faster shortcuts are not asked for.
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device.index)
        return super().prepare(case, implementation, device, inputs)

    def capture(self, step: Step, device: Device) -> Step:
        """Return a replay of the step as a CUDA graph."""
        stream = torch.cuda.Stream(device.index)
        with torch.cuda.stream(stream):
            step()  # libraries choose and allocate at the first call, which a capture forbids
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                outputs = step()

        def replay() -> Tensors:
            graph.replay()
            return outputs

        return replay

    def timer(self, device: Device) -> EventTimer:
        """Return a pair of events on a stream of our own."""
        return EventTimer(self.torch_device(device))

    def limits(self, device: Device, dtype: str) -> Limits:
        """Return the data sheet's rates, and the measured time of an empty launch."""
        chip = find_chip(device.name)
        known = chip.limits(dtype) if chip else Limits()
        return Limits(
            peak_tflops=known.peak_tflops,
            peak_gbps=known.peak_gbps,
            peak_source=known.peak_source,
            launch_s=launch_seconds(self.torch_device(device)),
        )

    def telemetry(self, device: Device) -> CudaTelemetry:
        """Return NVML's sampler, with torch's own count of memory."""
        return CudaTelemetry(device.index)


class CudaTelemetry:
    """The GPU's sensors, and the most memory that the case has taken."""

    def __init__(self, index: int) -> None:
        self._index = index
        uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
        self._sensors = nvml.NvmlSampler(f"GPU-{uuid}") if uuid else None

    def start(self) -> None:
        """Begin to watch."""
        if self._sensors is not None:
            self._sensors.start()

    def stop(self) -> Telemetry:
        """Return what was seen."""
        seen = self._sensors.stop() if self._sensors is not None else Telemetry()
        return Telemetry(
            **{
                **vars(seen),
                "memory_peak_bytes": torch.cuda.max_memory_allocated(self._index),
            }
        )
