"""The contract of a kernel: parameters, work, inputs, reference and tolerance.

A kernel is a frozen pydantic model. An instance is one fully specified problem; its methods say what
has to be computed and how much work that is. How it is computed is up to an implementation, and on
which device, to a backend.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from bench.kernels.dtypes import DTYPES
from bench.kernels.routing import Load
from bench.kernels.verification import ErrorBound, Verification

DtypeName = Literal[
    "float64",
    "float32",
    "tf32",
    "hf32",
    "float16",
    "bfloat16",
    "int8",
    "float8_e4m3",
    "float4_e2m1",
]
assert set(DtypeName.__args__) == set(DTYPES)  # type: ignore[attr-defined]

# No benchmark has a larger dimension; a typing error may.
Size = Annotated[int, Field(ge=1, le=1 << 40, strict=True)]
Count = Annotated[int, Field(ge=0, le=1 << 40, strict=True)]


@dataclass(frozen=True)
class Operand:
    """One input on the host: values exact in `dtype` (a DTYPES name or a numpy integer type)."""

    array: NDArray[Any]
    dtype: str


@dataclass(frozen=True)
class Work:
    """The work of a case, independent of the implementation.

    `flops` counts a multiply-add as two. `bytes` is the minimum traffic: each operand that is needed is
    read once, each result written once, nothing in between. `weight_bytes` is the part of it that is
    weights. `tokens` and `load` belong to mixture-of-experts layers.
    """

    flops: int
    bytes: int
    weight_bytes: int | None = None
    tokens: int | None = None
    load: Load | None = None


class Kernel(BaseModel, ABC):
    """A problem to be computed: the parameters that all kernels have, and the methods that each defines."""

    # Strict: the text "yes" is no boolean, and "0.5" no number.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    name: ClassVar[str]
    # Parameters that name a file; a case is identified by the content of the file, not by its path.
    known_by_content: ClassVar[tuple[str, ...]] = ()
    # The parameters that tell cases apart in a table, in reading order.
    headline: ClassVar[tuple[str, ...]] = ()
    # What `tolerance` allows for, as the documentation prints it.
    error_bound: ClassVar[ErrorBound]

    dtype: DtypeName
    inputs: Literal["normal", "zeros", "constant"] = "normal"
    cache: Literal["cold", "hot"] = "cold"
    graph: bool = False  # launch each execution as one recorded graph, where the device supports it

    @property
    def backward(self) -> bool:
        """Whether gradients are computed too."""
        return False

    @abstractmethod
    def work(self, seed: int) -> Work:
        """Count FLOPs and bytes; the seed matters only where routing decides which weights are read."""

    def stage_work(self, seed: int) -> dict[str, Work]:
        """Count the work of each stage that a profile can time, in order; none by default."""
        return {}

    @abstractmethod
    def memory_bytes(self) -> int:
        """Estimate the device memory of one set of inputs and outputs."""

    def input_bytes(self) -> int:
        """Return the host memory of the inputs, which are made in float32."""
        return self.memory_bytes() * 32 // DTYPES[self.dtype].bits

    def routing_bytes(self) -> int:
        """Return the host memory that drawing the routing takes, which `work` may need, too."""
        return 0

    @abstractmethod
    def make_inputs(self, seed: int) -> dict[str, Operand]:
        """Make the inputs by name."""

    @abstractmethod
    def tolerance(self) -> float:
        """Bound the relative error that rounding explains; 0 where results must be exact.

        Outputs that pass are within it of the float64 reference (bench.kernels.verification.compare).
        """

    @abstractmethod
    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Compare a device's outputs with the reference, computed in float64 on the host."""

    def parameters(self) -> dict[str, Any]:
        """List all parameters as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    def identity(self) -> dict[str, Any]:
        """List the parameters that identify the case: with an effect, and different from the default."""
        exclude = {*self.known_by_content, *self.idle_parameters()}
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=exclude)

    def idle_parameters(self) -> dict[str, str]:
        """List the parameters that have no effect on this case, with the reason; none by default."""
        return {}

    @classmethod
    def parameter_names(cls) -> list[str]:
        """List the names of all parameters as they are written in a config."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    def shape(self, model: str | None = None) -> str:
        """Describe the case in a few characters, for a table.

        `model` names the published model that has this shape; a kernel may show it instead of sizes.
        """
        return " ".join(f"{key}={getattr(self, key)}" for key in self.headline)

    def label(self) -> str:
        """Name the case readably, and uniquely in practice: kernel, dtype, shape, cache."""
        graph = " graph" if self.graph else ""
        return f"{self.name} {DTYPES[self.dtype].short} {self.shape()} {self.cache}{graph}"
