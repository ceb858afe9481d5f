"""Whether chips hold a model, and what to measure where no measured layer is of that deployment.

The routed experts are divided among the chips that share them. Each of these chips holds everything else
and works on tokens of its own: attention is data-parallel. Memory for activations and libraries is left
out. Chips that split attention, too, need less (DeepSeek-V3's serving does so among four, arXiv 2412.19437,
section 3.4); no row is of such a layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from shlex import quote

from bench.analysis.layers import Layers
from bench.catalog.model_size import total_parameters
from bench.catalog.models import Model
from bench.config.load import build_config
from bench.errors import UsageError, one_of
from bench.kernels.dtypes import DTYPES
from bench.yaml_files.source import parse_yaml

# The name that the files of a suggested measurement have.
MEASUREMENT = "layers"

# Large enough for the highest rate, small enough for any device.
PRODUCT = 4096


@dataclass(frozen=True)
class ChipMemory:
    """What one of the chips that share the experts holds, in GB; `chip_gb` is None where not known."""

    experts_gb: float
    rest_gb: float
    cache_gb: float
    chip_gb: float | None

    @property
    def weights_gb(self) -> float:
        """Routed experts and everything else."""
        return self.experts_gb + self.rest_gb

    @property
    def fits(self) -> bool | None:
        """Whether a chip holds all of it; None where its memory is not known."""
        return None if self.chip_gb is None else self.weights_gb + self.cache_gb <= self.chip_gb

    def __str__(self) -> str:
        parts = [
            f"{self.experts_gb:.4g} GB of routed experts",
            f"{self.rest_gb:.4g} GB of other weights",
        ]
        if self.cache_gb:
            parts.append(f"{self.cache_gb:.4g} GB of keys and values")
        return " + ".join(parts)


@dataclass(frozen=True)
class Deployment:
    """A model in a number format on chips of one kind; `chips` is None where any number will do."""

    model: Model
    dtype: str
    chip: str
    chip_gb: float | None
    chips: int | None = None

    def memory(self, expert_parallel: int, cache_bytes: float = 0.0) -> ChipMemory:
        """Return what one of `expert_parallel` chips holds that share the experts."""
        routed = routed_parameters(self.model)
        rest = max(0.0, total_size(self.model) - routed)
        gb_each = bytes_each(self.dtype) / 1e9
        experts_gb = routed / expert_parallel * gb_each
        return ChipMemory(experts_gb, rest * gb_each, cache_bytes / 1e9, self.chip_gb)

    def fits(self, expert_parallel: int, cache_bytes: float = 0.0) -> bool:
        """Whether so many of the chips can share the experts and hold the model."""
        whole = self.chips is None or self.chips % expert_parallel == 0
        return whole and self.memory(expert_parallel, cache_bytes).fits is not False

    def smallest_sharing(self, cache_bytes: float = 0.0) -> int | None:
        """Return the fewest chips that hold the model when they share its experts; None if none do."""
        return next((n for n in _divisors(self.model.experts) if self.fits(n, cache_bytes)), None)

    def check_memory(self, sequences: int = 0, sequence_bytes: float = 0.0) -> None:
        """Raise UsageError if the chips do not hold the model and the keys and values of sequences."""
        cache = sequences * sequence_bytes
        if self.chip_gb is None or self.smallest_sharing(cache) is not None:
            return
        sharing = math.gcd(self.chips or self.model.experts, self.model.experts)
        memory = self.memory(sharing, cache)
        remedies = []
        enough = replace(self, chips=None).smallest_sharing(cache)
        if enough is not None:
            remedies.append(f"a multiple of {enough} chips does")
        room = int((self.chip_gb - memory.weights_gb) * 1e9 // sequence_bytes) if cache else 0
        if room > 0:
            remedies.append(f"at most {room} sequences of this length fit")
        raise UsageError(
            f"{self} does not fit: {no_room(sharing, memory)}; "
            f"{', or '.join(remedies) or 'no number of chips does'}"
        )

    def __str__(self) -> str:
        several = "" if self.chips is None else f"{self.chips} × "
        return f"{self.model.id} on {several}{self.chip} in {self.dtype}"


def why_none_fits(
    layers: Sequence[Layers], deployment: Deployment, cache_bytes: float = 0.0
) -> str:
    """Return why none of the measured layers, of which there are some, is of a deployment."""
    shared = sorted({each.kind.expert_parallel for each in layers})
    for count in shared:
        memory = deployment.memory(count, cache_bytes)
        if memory.fits is False:
            return no_room(count, memory)
    counts = ", ".join(map(str, shared))
    return f"the experts are on {counts} chips, which do not divide {deployment.chips}"


def no_room(sharing: int, memory: ChipMemory) -> str:
    """Return that the chips that share the experts do not hold something."""
    who = "1 chip" if sharing == 1 else f"each of {sharing} chips"
    return f"{who} has {memory.chip_gb:g} GB for {memory}"


def refusal(layers: Sequence[Layers], deployment: Deployment, cache_bytes: float = 0.0) -> str:
    """Return that no measured layer is of a deployment, and why."""
    if not layers:
        return f"no row of {deployment}"
    reason = why_none_fits(layers, deployment, cache_bytes)
    return f"no row of {deployment} fits: as measured, {reason}"


def measure_text(
    deployment: Deployment,
    tokens: Iterable[int],
    expert_parallel: int | None,
    passes: str = "forward",
) -> str:
    """Return how to measure layers of a deployment: a command, or why there is none.

    `expert_parallel` is None if no number of chips holds the model. A product comes along, because the
    rest of the model is projected with the best rate in the rows, and layers of few tokens have a low one.
    """
    if expert_parallel is None:
        return "no number of these chips holds it"
    size = f"m: {PRODUCT}, n: {PRODUCT}, k: {PRODUCT}"
    config = (
        f"kernels: [{{kernel: matmul, dtype: {deployment.dtype}, {size}}}, "
        f"{{kernel: moe_layer, model: {deployment.model.id}, dtype: {deployment.dtype}, "
        f"expert_parallel: {expert_parallel}, pass: {passes}, "
        f"tokens: [{', '.join(map(str, sorted(set(tokens))))}]}}]"
    )
    try:
        build_config(parse_yaml(config, MEASUREMENT), MEASUREMENT)
    except UsageError as error:
        return f"`bench run` cannot measure it: {str(error).splitlines()[0].partition(': ')[2]}"
    file = f"{MEASUREMENT}.yaml"
    return (
        f"measure it on one {deployment.chip}, and use its {MEASUREMENT}.csv:\n"
        f"  echo {quote(config)} > {file} && bench run {file} -o {MEASUREMENT}.csv"
    )


def routed_parameters(model: Model) -> float:
    """Return the number of parameters of all routed experts."""
    return float(model.moe_layers * model.experts * expert_parameters(model))


def expert_parameters(model: Model) -> int:
    """Return the number of parameters of one routed expert."""
    matrices = 3 if model.gated else 2
    return matrices * (model.expert_hidden or model.hidden) * model.intermediate


def total_size(model: Model) -> float:
    """Return all parameters as published, or where nobody says, as counted from the shape."""
    return 1e9 * model.total_params_b if model.total_params_b else total_parameters(model)


def bytes_each(dtype: str) -> float:
    """Return the bytes of a weight, with its part of a block's scale.

    Raises UsageError for a format that no kernel has.
    """
    if dtype not in DTYPES:
        raise UsageError(f"--dtype: unknown number format {dtype!r}{one_of(dtype, DTYPES)}")
    return DTYPES[dtype].average_bits / 8


def _divisors(count: int) -> list[int]:
    return [n for n in range(1, count + 1) if count % n == 0]
