"""What every kernel declares: parameters, work, inputs, reference and tolerance.

A kernel is a frozen pydantic model: an instance is one fully specified problem, and its methods say
what has to be computed and how much work that is. How it is computed is an implementation's
business, and on what, a backend's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from bench.kernels.dtypes import DTYPES
from bench.kernels.routing import Load

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

# Above this no dimension is a benchmark any more but a typing error.
Size = Annotated[int, Field(ge=1, le=1 << 40, strict=True)]
Count = Annotated[int, Field(ge=0, le=1 << 40, strict=True)]

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Operand:
    """One input on the host: values exact in `dtype` (a DTYPES name or a numpy integer type)."""

    array: NDArray[Any]
    dtype: str


@dataclass(frozen=True)
class Work:
    """How much a case has to do, whatever the implementation.

    `flops` counts a multiply and an add as two. `bytes` is the least traffic: every operand that is
    needed read once, every result written once, nothing in between; `weight_bytes` is the weights'
    share of it. `tokens` and `load` are a mixture-of-experts layer's.
    """

    flops: int
    bytes: int
    weight_bytes: int | None = None
    tokens: int | None = None
    load: Load | None = None


@dataclass(frozen=True)
class Verification:
    """The outcome of holding outputs against the reference.

    `rel_error` is ‖out − ref‖ / ‖ref‖ over everything compared; `compared` says what that was.
    `passed` asks for `tolerance` over all, and for eight times as much in each single row, so that
    one wrong row in thousands does not hide in the average.
    """

    rel_error: float
    tolerance: float
    passed: bool
    compared: str


class Kernel(BaseModel, ABC):
    """A problem to be computed: parameters common to all kernels, and what each must define."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    # Parameters that name a file whose content, not whose name, makes the case.
    known_by_content: ClassVar[tuple[str, ...]] = ()
    # The parameters that make a case recognisable in a table, in reading order.
    headline: ClassVar[tuple[str, ...]] = ()

    dtype: DtypeName
    inputs: Literal["normal", "zeros", "constant"] = "normal"
    cache: Literal["cold", "hot"] = "cold"
    graph: bool = False  # launch each execution as one recorded graph, where a device can

    @property
    def backward(self) -> bool:
        """Whether gradients are computed too."""
        return False

    @abstractmethod
    def work(self, seed: int) -> Work:
        """Return FLOPs and bytes; the seed matters only where routing decides what is touched."""

    def stage_work(self, seed: int) -> dict[str, Work]:
        """Return the work of each stage that a profile may tell apart, in order; none by default."""
        return {}

    @abstractmethod
    def memory_bytes(self) -> int:
        """Return the device memory that inputs and outputs take, once."""

    @abstractmethod
    def make_inputs(self, seed: int) -> dict[str, Operand]:
        """Return the inputs by name."""

    @abstractmethod
    def verify(
        self, inputs: Mapping[str, Operand], outputs: Mapping[str, NDArray[Any]], seed: int
    ) -> Verification:
        """Hold a device's outputs against the reference, computed in float64 on the host."""

    def parameters(self) -> dict[str, Any]:
        """Return all parameters as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    def identity(self) -> dict[str, Any]:
        """Return the parameters that differ from their defaults and make the case what it is."""
        exclude = set(self.known_by_content)
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=exclude)

    @classmethod
    def parameter_names(cls) -> list[str]:
        """Return the names of all parameters, as a config writes them."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    def shape(self, model: str | None = None) -> str:
        """Return what makes this case recognisable in a table, in a few characters.

        `model` names the published model that has the shape; a kernel may show it instead.
        """
        return " ".join(f"{key}={getattr(self, key)}" for key in self.headline)

    def label(self) -> str:
        """Return a short human name that no other case has in practice: kernel, dtype, shape, cache."""
        graph = " graph" if self.graph else ""
        return f"{self.name} {DTYPES[self.dtype].short} {self.shape()} {self.cache}{graph}"


def compare(
    out: NDArray[Any],
    ref: FloatArray,
    tolerance: float,
    compared: str,
    scale: float | None = None,
) -> Verification:
    """Return the relative error of `out` against `ref` (both [..., rows, columns]), and the verdict.

    `scale` is what errors are relative to, by default ‖ref‖; larger where `ref` is a difference of
    larger terms, whose rounding it cannot but keep.
    """
    if out.shape != ref.shape:
        return Verification(
            float("inf"), tolerance, False, f"shape {out.shape} instead of {ref.shape}"
        )
    difference = out.astype(np.float64) - ref
    if not np.isfinite(difference).all():
        return Verification(float("inf"), tolerance, False, f"{compared}: not all values finite")
    scale = float(np.linalg.norm(ref)) if scale is None else scale
    error = float(np.linalg.norm(difference))
    rel_error = error / scale if scale else (0.0 if error == 0 else float("inf"))
    # A row is judged by the typical row's size: its own may be zero, where no expert served a token.
    rows = difference.reshape(-1, difference.shape[-1])
    worst = float(np.linalg.norm(rows, axis=1).max())
    typical = scale / float(np.sqrt(len(rows)))
    passed = rel_error <= tolerance and worst <= 8 * tolerance * typical
    return Verification(rel_error, tolerance, passed, compared)
