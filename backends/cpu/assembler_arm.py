"""Machine code for 64-bit Arm: the instructions that the loops of loops.py are made of, and their frame.

Encodings by the Arm architecture reference manual for A-profile. Functions may overwrite all vector
registers but the low halves of 8 to 15, which no loop touches.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from backends.cpu.probe import CHAIN_LINKS

SOURCES = (30, 31)
SUMS = tuple(n for n in range(30) if not 8 <= n <= 15)

# Instructions without their registers: target, and two sources.
NEON = {
    "FMLA float64": 0x4E60CC00,
    "FMLA float32": 0x4E20CC00,
    "FMLA float16": 0x4E400C00,
    "BFDOT": 0x6E40FC00,
    "BFMMLA": 0x6E40EC00,
    "SMLAL": 0x0E208000,
    "SMLAL2": 0x4E208000,
    "SDOT": 0x4E809400,
    "SMMLA": 0x4E80A400,
}
SVE = {
    "FMLA float64": 0x65E00000,
    "FMLA float32": 0x65A00000,
    "FMLA float16": 0x65600000,
    "FMMLA float64": 0x64E0E400,
    "FMMLA float32": 0x64A0E400,
    "BFDOT": 0x64608000,
    "BFMMLA": 0x6460E400,
    "SDOT": 0x44800000,
    "SMMLA": 0x45009800,
}


def zero_vectors(sve: bool) -> list[int]:
    """Set the registers that the loops use to zero; for SVE also predicate 0 to all lanes."""
    used = SUMS + SOURCES
    if sve:
        return [0x2518E3E0, *(0x2538C000 | n for n in used)]  # ptrue p0.b; mov z.b, 0
    return [0x6F00E400 | n for n in used]  # movi v.2d, 0


def accumulating(*instructions: int) -> tuple[list[int], int]:
    """Multiply two registers and add to a third, once for each sum; return the code and their number.

    Several instructions take turns.
    """
    left, right = SOURCES
    code = [
        instructions[place % len(instructions)] | right << 16 | left << 5 | total
        for place, total in enumerate(SUMS)
    ]
    return code, len(SUMS)


def function(setup: Sequence[int], body: Sequence[int]) -> bytes:
    """Assemble what runs and times a loop: the function that assembler_x86.function describes."""
    # x19 = iterations, x20 = repetitions, x21 = times, x22 = clock_gettime, x23 = skipped
    words = [
        0xA9BC7BFD,  # stp x29, x30, [sp, -64]!
        0xA90153F3,  # stp x19, x20, [sp, 16]
        0xA9025BF5,  # stp x21, x22, [sp, 32]
        0xF9001BF7,  # str x23, [sp, 48]
        0xAA0003F3,  # mov x19, x0
        0xAA0103F4,  # mov x20, x1
        0xAA0203F5,  # mov x21, x2
        0xAA0303F6,  # mov x22, x3
        0xAA0503F7,  # mov x23, x5
        0xC85FFC89,  # ldaxr x9, [x4]
        0xD1000529,  # sub x9, x9, 1
        0xC80AFC89,  # stlxr w10, x9, [x4]
        0x35FFFFAA,  # cbnz w10 to ldaxr
        0xD503203F,  # yield
        0xC8DFFC89,  # ldar x9, [x4]
        0xF100013F,  # cmp x9, 0
        0x54FFFFAC,  # b.gt to yield
    ]
    clock = [
        0x52800020,  # mov w0, 1 (CLOCK_MONOTONIC)
        0xAA1503E1,  # mov x1, x21
        0xD63F02C0,  # blr x22
        0x910042B5,  # add x21, x21, 16
    ]
    again = len(words)
    words += clock
    words += setup
    words += _looped(body)
    words += clock
    words += setup
    words += [0xD2800001, 0xD2800002]  # mov x1, 0; mov x2, 0
    # adr x9, 12, which is the chain; add x9, x9, x23, lsl 2; br x9
    jump = [0x10000069, 0x8B170929, 0xD61F0120]
    words += _looped([*body, *jump, *[0x8B020021] * CHAIN_LINKS])  # add x1, x1, x2
    words += clock
    words += [0xF1000694]  # subs x20, x20, 1
    words += [
        _branch_if_not_zero(again - len(words)),
        0xF9401BF7,  # ldr x23, [sp, 48]
        0xA9425BF5,  # ldp x21, x22, [sp, 32]
        0xA94153F3,  # ldp x19, x20, [sp, 16]
        0xA8C47BFD,  # ldp x29, x30, [sp], 64
        0xD65F03C0,  # ret
    ]
    return struct.pack(f"<{len(words)}I", *words)


def _looped(body: Sequence[int]) -> list[int]:
    """Run `body` x19 times."""
    # mov x0, x19; body; subs x0, x0, 1
    return [0xAA1303E0, *body, 0xF1000400, _branch_if_not_zero(-len(body) - 1)]


def _branch_if_not_zero(distance: int) -> int:
    """Branch by `distance` instructions, counted from this one."""
    return 0x54000001 | (distance & 0x7FFFF) << 5
