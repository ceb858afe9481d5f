"""Backend `cuda`: NVIDIA GPUs (and AMD ones under a ROCm build of torch), timed by device events."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pynvml
import torch

from backends.cuda import amdsmi_sampler, doctor, nvml
from backends.cuda.amdsmi_sampler import AmdSampler
from backends.cuda.errors import explained, why_no_gpu
from backends.cuda.launches import blocking, graph_launch_seconds, launch_seconds
from backends.cuda.nvml_sampler import NvmlSampler
from backends.torch.device import TorchBackend
from backends.torch.events import EventTimer
from backends.torch.graphs import recorded
from backends.torch.implementation import Step
from bench.backend import Device, Finding, Limits, Prepared, Telemetry, TelemetrySampler
from bench.catalog.chips import find_architecture, find_chip
from bench.errors import DeviceLost

# Formats by the compute capability that first multiplies them in hardware (CUDA programming guide,
# arithmetic instructions; PTX ISA, mma and wgmma).
FIRST_CAPABILITY = {
    "float16": (7, 0),
    "bfloat16": (8, 0),
    "tf32": (8, 0),
    "int8": (7, 5),
    "float8_e4m3": (8, 9),
    "float4_e2m1": (10, 0),
}


# AMD's targets whose matrix units take OCP's float8: CDNA 4, RDNA 4.
ROCM_FLOAT8 = ("gfx950", "gfx1200", "gfx1201")


class CudaBackend(TorchBackend):
    """Every GPU that CUDA_VISIBLE_DEVICES leaves visible."""

    name: ClassVar[str] = "cuda"
    priority: ClassVar[int] = 100
    device_type: ClassVar[str] = "cuda"

    def unavailable(self) -> str | None:
        """Say why no GPU can be used: the build of torch, the driver, or the visibility."""
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

    def versions(self) -> dict[str, str]:
        """List versions, and whether half-precision products may add up in their own precision.

        That is torch's default, and stays as it is: users get it.
        """
        matmul = torch.backends.cuda.matmul
        allowed = {
            "float16": matmul.allow_fp16_reduced_precision_reduction,
            "bfloat16": matmul.allow_bf16_reduced_precision_reduction,
        }
        names = " and ".join(name for name, value in allowed.items() if value)
        return {**super().versions(), "reduced-precision reductions": names or "off"}

    def diagnose(self) -> list[Finding]:
        """Examine the GPUs for `bench doctor`."""
        return doctor.diagnose()

    def devices(self) -> list[Device]:
        """List the visible GPUs. Raises DeviceLost where one stopped answering since the start."""
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
            driver=_driver_version(properties),
            runtime=toolkit,
        )

    def torch_device(self, device: Device) -> torch.device:
        """Name the device as torch does: `cuda:N`."""
        return torch.device("cuda", device.index)

    def free_bytes(self, device: Device) -> int | None:
        """Ask the driver how much memory is free."""
        free, _ = torch.cuda.mem_get_info(device.index)
        return int(free)

    def dtype_unsupported(self, dtype: str, device: Device) -> str | None:
        """Say why the GPU does not multiply in a dtype; None if it does."""
        if dtype == "hf32":
            return "hf32 is a format of Ascend NPUs; use tf32 instead"
        if torch.version.hip:
            target = compile_target(torch.cuda.get_device_properties(device.index))
            return rocm_unsupported(dtype, target)
        needed = FIRST_CAPABILITY.get(dtype)
        if needed is None:
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
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device.index)
        return super().prepare(case, implementation, device, inputs)

    def recorded(self, steps: list[Step], device: Device) -> Step:
        """Record the steps as one CUDA graph and return its replay."""
        return recorded(steps, self.torch_device(device), torch.cuda.CUDAGraph)

    def timer(self, device: Device) -> EventTimer:
        """Time with events on a dedicated stream, launched while a kernel keeps the GPU waiting."""
        target = self.torch_device(device)
        return EventTimer(target, blocking(target))

    def graph_launch_seconds(self, device: Device, executions: int) -> float | None:
        """Measure the time of an empty kernel in a graph of so many."""
        return graph_launch_seconds(self.torch_device(device), executions)

    def translated(self, error: Exception) -> Exception:
        """Translate an error of CUDA; a GPU that NVML reports as gone is lost, whatever CUDA says."""
        if isinstance(error, RuntimeError):
            # Only this worker's GPU: the worker of another GPU reports what happens to that.
            try:
                nvml.check_present(_uuid(torch.cuda.current_device()))
            except DeviceLost as lost:
                return lost
        return explained(error)

    def limits(self, device: Device, dtype: str) -> Limits:
        """Look up or compute the peak rates, and measure the time of an empty launch."""
        with self.translating():
            properties = torch.cuda.get_device_properties(device.index)
            known = peaks(properties, dtype, _uuid(device.index))
            return replace(known, launch_s=launch_seconds(self.torch_device(device)))

    def telemetry(self, device: Device) -> CudaTelemetry:
        """Sample NVML or amdsmi, and torch's own count of memory."""
        return CudaTelemetry(device.index)


def peaks(properties: Any, dtype: str, uuid: str = "") -> Limits:
    """Determine the peaks of a GPU from torch's device properties.

    Data-sheet rates where the name is known. Otherwise they are computed: FLOPs per cycle of one SM ×
    number of SMs × highest clock, and memory bus × clock. The highest clock exceeds the one that data
    sheets compute with, so that utilization is not overstated.
    """
    chip = find_chip(properties.name)
    if chip is not None:
        return chip.limits(dtype)
    architecture = find_architecture(compile_target(properties), properties.name)
    clock_mhz, gbps = _highest_rates(uuid)
    if clock_mhz is None and getattr(properties, "clock_rate", None):
        clock_mhz = properties.clock_rate / 1e3  # kHz; newer versions of torch have it
    computed = Limits()
    if architecture is not None and clock_mhz:
        computed = architecture.limits(dtype, properties.multi_processor_count, clock_mhz)
    if gbps is None:
        return computed
    bandwidth = f"{gbps:.0f} GB/s computed from memory bus × clock × 2"
    source = "; ".join(filter(None, (computed.peak_source, bandwidth)))
    return replace(computed, peak_gbps=gbps, peak_source=source)


def compile_target(properties: Any) -> str:
    """Name a GPU's architecture as compilers do: sm_90, or gfx942 under ROCm."""
    rocm = getattr(properties, "gcnArchName", "")
    if rocm.startswith("gfx"):
        return str(rocm.split(":")[0])
    return f"sm_{properties.major}{properties.minor}"


def rocm_unsupported(dtype: str, target: str) -> str | None:
    """Say why an AMD GPU of a compile target does not multiply in a dtype; None if it does.

    CDNA 3 has float8 in the fnuz encoding only, whose values differ, and is the only one with tf32,
    which torch enables by an environment variable (AMD, ROCm data types and precision support;
    at::Context::allowTF32CuBLAS of torch 2.6 to 2.13).
    """
    if dtype == "float8_e4m3" and target not in ROCM_FLOAT8:
        if target == "gfx942":
            return f"{target} has float8 in the fnuz encoding only, whose values differ"
        return f"{target} does not multiply float8_e4m3"
    if dtype == "float4_e2m1":
        return "block-scaled products run on NVIDIA GPUs only"
    if dtype == "tf32":
        if target != "gfx942":
            return f"{target} does not multiply tf32"
        if os.environ.get("HIPBLASLT_ALLOW_TF32") != "1":
            return (
                "ROCm's torch multiplies tf32 only with HIPBLASLT_ALLOW_TF32=1 in the environment"
            )
    return None


def _driver_version(properties: Any) -> str | None:
    if torch.version.hip:
        return amdsmi_sampler.driver_version(amdsmi_sampler.bdf(properties))
    return nvml.driver_version()


def _highest_rates(uuid: str) -> tuple[float | None, float | None]:
    """Ask NVML for the highest clock in MHz and the bandwidth in GB/s."""
    try:
        with nvml.session():
            gpu = nvml.Gpu(uuid)
            return gpu.max_clock_mhz(), gpu.peak_gbps()
    except (pynvml.NVMLError, LookupError):
        return None, None


def _uuid(index: int) -> str:
    """Read a GPU's UUID from CUDA, "" where this torch does not report it."""
    try:
        return str(getattr(torch.cuda.get_device_properties(index), "uuid", ""))
    except RuntimeError:
        return ""


def device_files_forbidden(folder: Path = Path("/dev")) -> bool:
    """Whether the driver's device files exist and this user may not open them."""
    files = [folder / "nvidiactl", *folder.glob("nvidia[0-9]*")]
    return any(file.exists() and not os.access(file, os.R_OK | os.W_OK) for file in files)


def use_tf32(enabled: bool) -> None:
    """Switch rounding of float32 operands to tf32 on or off.

    Sets the older attribute while it exists: torch 2.9 and newer then update the new one, too, and
    Inductor, which reads the older one, refuses a mixture.
    """
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "allow_tf32"):
        matmul.allow_tf32 = enabled
    else:
        matmul.fp32_precision = "tf32" if enabled else "ieee"


class CudaTelemetry:
    """The GPU's sensors, and the peak of the case's memory."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._sensors: TelemetrySampler
        if torch.version.hip:
            address = amdsmi_sampler.bdf(torch.cuda.get_device_properties(index))
            self._sensors = AmdSampler(address)
        else:
            self._sensors = NvmlSampler(_uuid(index))

    def start(self) -> None:
        """Begin to watch."""
        self._sensors.start()

    def stop(self) -> Telemetry:
        """Summarize what was sampled since `start`."""
        telemetry = self._sensors.stop()  # first: it knows whether the GPU is gone
        return replace(telemetry, memory_peak_bytes=torch.cuda.max_memory_allocated(self._index))
