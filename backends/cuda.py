"""Backend `cuda`: NVIDIA GPUs (and AMD ones under a ROCm build of torch), timed by device events."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pynvml
import torch

from backends import cuda_doctor, nvml
from backends.cuda_errors import explained, why_no_gpu
from backends.nvml_sampler import NvmlSampler
from backends.torch_device import Step, TorchBackend
from backends.torch_events import EventTimer, launch_seconds
from backends.torch_graphs import recorded
from bench.backend import Device, Finding, Limits, Prepared, Telemetry
from bench.chips import find_architecture, find_chip
from bench.errors import DeviceLost

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
            return why_no_gpu(
                str(error),
                built_for=torch.version.cuda,
                nvml=nvml.unavailable(),
                forbidden=device_files_forbidden(),
            )
        return None if torch.cuda.device_count() else "no GPU is visible to CUDA"

    def diagnose(self) -> list[Finding]:
        """Return what `bench doctor` is to tell about the GPUs."""
        return cuda_doctor.diagnose()

    def devices(self) -> list[Device]:
        """Return the visible GPUs. Raises DeviceLost where one stopped answering since the start."""
        try:
            return [self._device(index) for index in range(torch.cuda.device_count())]
        except Exception as error:
            raise self.translated(error) from error

    def _device(self, index: int) -> Device:
        properties = torch.cuda.get_device_properties(index)
        chip = find_chip(properties.name)
        toolkit = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
        return Device(
            index=index,
            name=properties.name,
            chip=chip.id if chip else properties.name,
            memory_bytes=properties.total_memory,
            cache_bytes=getattr(properties, "L2_cache_size", None),
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
        use_tf32(case.dtype == "tf32")
        # Sums of half-precision products are float32 throughout: faster shortcuts are not asked for.
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device.index)
        return super().prepare(case, implementation, device, inputs)

    def recorded(self, steps: list[Step], device: Device) -> list[Step]:
        """Return replays of the steps as CUDA graphs."""
        return recorded(steps, self.torch_device(device), torch.cuda.CUDAGraph)

    def timer(self, device: Device) -> EventTimer:
        """Return a pair of events on a stream of our own."""
        return EventTimer(self.torch_device(device))

    def translated(self, error: Exception) -> Exception:
        """Return what an error means; a GPU that NVML says is gone is lost, whatever CUDA says."""
        if isinstance(error, RuntimeError):
            # Only the GPU at work: what happens to a neighbour is told by the worker that has it.
            try:
                nvml.check_present(_uuid(torch.cuda.current_device()))
            except DeviceLost as lost:
                return lost
        return explained(error)

    def limits(self, device: Device, dtype: str) -> Limits:
        """Return the data sheet's rates or computed ones, and the measured time of an empty launch."""
        known = peaks(torch.cuda.get_device_properties(device.index), dtype, _uuid(device.index))
        return replace(known, launch_s=launch_seconds(self.torch_device(device)))

    def telemetry(self, device: Device) -> CudaTelemetry:
        """Return NVML's sampler, with torch's own count of memory."""
        return CudaTelemetry(device.index)


def peaks(properties: Any, dtype: str, uuid: str = "") -> Limits:
    """Return the peaks of a GPU that is described by torch's device properties.

    Those of the data sheet where the name is known. Otherwise they are computed: what one SM does in
    a cycle × the number of SMs × the highest clock, and memory bus × clock. The highest clock is above
    the one that data sheets compute with, so that utilization is not flattered.
    """
    chip = find_chip(properties.name)
    if chip is not None:
        return chip.limits(dtype)
    architecture = find_architecture(compile_target(properties), properties.name)
    clock_mhz, gbps = _highest_rates(uuid)
    if clock_mhz is None and getattr(properties, "clock_rate", None):
        clock_mhz = properties.clock_rate / 1e3  # kHz; newer versions of torch tell it
    computed = Limits()
    if architecture is not None and clock_mhz:
        computed = architecture.limits(dtype, properties.multi_processor_count, clock_mhz)
    if gbps is None:
        return computed
    bandwidth = f"{gbps:.0f} GB/s computed from memory bus × clock × 2"
    said = "; ".join(filter(None, (computed.peak_source, bandwidth)))
    return replace(computed, peak_gbps=gbps, peak_source=said)


def compile_target(properties: Any) -> str:
    """Return how compilers call a GPU's architecture: sm_90, or gfx942 under ROCm."""
    rocm = getattr(properties, "gcnArchName", "")
    if rocm.startswith("gfx"):
        return str(rocm.split(":")[0])
    return f"sm_{properties.major}{properties.minor}"


def _highest_rates(uuid: str) -> tuple[float | None, float | None]:
    """Return the highest clock in MHz and the bandwidth in GB/s, as NVML knows them."""
    try:
        with nvml.session():
            gpu = nvml.Gpu(uuid)
            return gpu.max_clock_mhz(), gpu.peak_gbps()
    except (pynvml.NVMLError, LookupError):
        return None, None


def _uuid(index: int) -> str:
    """Return a GPU's UUID as CUDA has it, "" where this torch does not tell."""
    try:
        return str(getattr(torch.cuda.get_device_properties(index), "uuid", ""))
    except RuntimeError:
        return ""


def device_files_forbidden(folder: Path = Path("/dev")) -> bool:
    """Tell whether the driver's device files are there and this user may not open them."""
    files = [folder / "nvidiactl", *folder.glob("nvidia[0-9]*")]
    return any(file.exists() and not os.access(file, os.R_OK | os.W_OK) for file in files)


def use_tf32(wanted: bool) -> None:
    """Let float32 products be rounded to tf32, or not.

    By the older name as long as there is one: torch 2.9 and newer keep the two in step then, and
    Inductor, which reads the older, refuses a mixture.
    """
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "allow_tf32"):
        matmul.allow_tf32 = wanted
    else:
        matmul.fp32_precision = "tf32" if wanted else "ieee"


class CudaTelemetry:
    """The GPU's sensors, and the most memory that the case has taken."""

    def __init__(self, index: int) -> None:
        self._index = index
        uuid = _uuid(index)
        self._sensors = NvmlSampler(uuid) if uuid and not torch.version.hip else None

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
