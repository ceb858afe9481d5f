"""transformers' block with kernels that it loads from the Hugging Face hub: SonicMoE and DeepGEMM.

transformers/integrations/{sonicmoe,deepgemm}.py as of 5.24. Both compile at the first execution.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar

import torch

from backends.torch.implementation import Step, Tensors
from backends.torch.moe.transformers import Eager
from bench.errors import Unsupported
from bench.kernels.moe.layer import MoeLayer


class HubKernels(Eager):
    """What both variants share; `majors` are the compute capabilities that transformers loads them on."""

    compiles: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("kernels",)
    majors: ClassVar[tuple[int, ...]]

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse what the kernels do not compute, other GPUs, and missing packages; imports nothing."""
        if case.dtype != "bfloat16" or case.activation == "swigluoai":
            return f"{self.variant} takes layers in bfloat16 with a plain activation here"
        if case.graph:
            return f"{self.variant} is not recorded as a graph here"
        for package in self.packages:
            try:
                version(package)
            except PackageNotFoundError:
                return f"{self.variant} needs the package {package}; pip install {package}"
        capability = torch.cuda.get_device_capability(device)
        if torch.version.hip or capability[0] not in self.majors:
            majors = " and ".join(map(str, self.majors))
            return f"{self.variant} runs on NVIDIA GPUs of compute capability {majors} only"
        return super().unsupported(case, device)

    def build(self, case: MoeLayer, operands: Tensors) -> Step:
        """Load the kernels, and the weights into the block. Raises Unsupported with transformers' reason."""
        try:
            module = import_module(f"transformers.integrations.{self.variant}")
            getattr(module, f"load_{self.variant}_kernel")()
        except (ImportError, AttributeError) as error:
            raise Unsupported(f"transformers cannot load {self.variant}: {error}") from error
        return super().build(case, operands)


class SonicMoe(HubKernels):
    """The variant `sonicmoe`, which knows silu among our activations."""

    variant: ClassVar[str] = "sonicmoe"
    packages: ClassVar[tuple[str, ...]] = ("kernels", "nvidia-cutlass-dsl", "apache-tvm-ffi")
    majors: ClassVar[tuple[int, ...]] = (9, 10, 11, 12)

    def unsupported(self, case: MoeLayer, device: torch.device) -> str | None:
        """Refuse other activations, too."""
        if case.activation != "silu":
            return "sonicmoe takes silu only"
        return super().unsupported(case, device)


class DeepGemm(HubKernels):
    """The variant `deepgemm`: DeepGEMM's grouped products, whose compiler is CUDA_HOME's nvcc."""

    variant: ClassVar[str] = "deepgemm"
    majors: ClassVar[tuple[int, ...]] = (9, 10)
