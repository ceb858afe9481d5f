"""The tile sizes that the Triton kernel is tuned over."""

from __future__ import annotations

# Rows, columns and depth of a tile, warps, and stages of the pipeline.
TILES = [
    (128, 256, 64, 8, 3),
    (128, 128, 64, 8, 4),
    (128, 128, 64, 4, 4),
    (128, 128, 64, 8, 3),
    (64, 128, 64, 4, 4),
    (64, 64, 64, 4, 5),
    (16, 64, 128, 4, 5),
    (16, 64, 128, 4, 4),
]


def shared_bytes(tile: tuple[int, int, int, int, int]) -> int:
    """Compute the shared memory that a tile's pipeline keeps of both 16-bit operands.

    The tuner leaves out tiles that exceed the GPU's: 99 KiB for a block on compute capability 8.6, 8.9 and
    12.0, 163 KiB on 8.0, 227 KiB on 9.0 and 10.0 (CUDA programming guide, technical specifications).
    """
    rows, columns, depth, _, stages = tile
    return (rows + columns) * depth * 2 * stages
