"""Input data: seeded, and independent of backend, machine and number of threads.

Values are random normal by default, because data matter: a product of zeros draws less power, and so
runs faster on most chips. Large tensors are filled in blocks, each from a random stream of its own, by
as many threads as there are processors.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.kernels.dtypes import quantize

Distribution = Literal["normal", "zeros", "constant"]

# Small enough for a block to stay in cache while it is drawn and rounded. Changing it changes the data
# of every seed.
BLOCK = 1 << 18

# One standard deviation of an int8 operand is a quarter of the format's range.
INT8_SCALE = 32.0


def generator(seed: int, name: str) -> np.random.Generator:
    """Start a random stream that depends only on the seed and the stream's name."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence([seed, int.from_bytes(digest[:8], "little")]))
    )


def tensor(
    shape: tuple[int, ...],
    dtype: str,
    *,
    seed: int,
    name: str,
    scale: float = 1.0,
    distribution: Distribution = "normal",
) -> NDArray[np.float32]:
    """Draw an array of `shape` with values exact in `dtype`, as float32 on the host.

    `normal` draws from N(0, scale²), `constant` is `scale` everywhere, `zeros` is zero.
    """
    if dtype == "int8":
        scale *= INT8_SCALE
    if distribution == "zeros":
        return np.zeros(shape, np.float32)
    if distribution == "constant":
        return quantize(np.full(shape, scale, np.float32), dtype)
    flat = np.empty(int(np.prod(shape, dtype=np.int64)), np.float32)
    starts = range(0, flat.size, BLOCK)

    def fill(start: int) -> None:
        block = flat[start : start + BLOCK]
        generator(seed, f"{name}/{start}").standard_normal(out=block, dtype=np.float32)
        block *= np.float32(scale)
        quantize(block, dtype)

    if len(starts) == 1:
        fill(0)
    else:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(fill, starts))
    return flat.reshape(shape)
