"""Machine code for x86-64: the instructions that the loops of loops.py are made of, and their frame.

Encodings by the Intel 64 and IA-32 architectures software developer's manual, volume 2. Operands are
registers only. Every vector register may be overwritten by a function (System V calling convention).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from backends.cpu.probe import CHAIN_LINKS

# Opcode maps and mandatory prefixes, as the VEX and EVEX prefixes number them.
MAP_0F, MAP_0F38, MAP_6 = 1, 2, 6
P66, PF3, PF2 = 1, 2, 3


@dataclass(frozen=True)
class Instruction:
    """An instruction of three registers; `wide` is the W bit, which float64 has."""

    opcode: int
    prefix: int = P66
    table: int = MAP_0F38
    wide: bool = False

    def encode(self, bits: int, target: int, left: int, right: int) -> bytes:
        """Assemble `op target, left, right`.

        Registers are 0 to 31 of 512 bits, 0 to 15 of 256, or tiles 0 to 7, whose `bits` are 128 and
        whose operands are written the other way around: `op target, right, left`.
        """
        modrm = 0xC0 | (target & 7) << 3 | right & 7
        second = self.wide << 7 | (~left & 15) << 3 | self.prefix
        if bits < 512:
            first = (~target & 8) << 4 | 1 << 6 | (~right & 8) << 2 | self.table
            return bytes([0xC4, first, second | (bits == 256) << 2, self.opcode, modrm])
        first = (~target & 8) << 4 | (~right & 16) << 2 | (~right & 8) << 2 | ~target & 16
        third = 0b10 << 5 | (~left & 16) >> 1  # 512 bits, no mask
        return bytes([0x62, first | self.table, second | 1 << 2, third, self.opcode, modrm])


VFMADD231PD = Instruction(0xB8, wide=True)
VFMADD231PS = Instruction(0xB8)
VFMADD231PH = Instruction(0xB8, table=MAP_6)
VDPBF16PS = Instruction(0x52, PF3)
VPDPBUSD = Instruction(0x50)
VPMADDUBSW = Instruction(0x04)
VPMADDWD = Instruction(0xF5, table=MAP_0F)
VPADDSW = Instruction(0xED, table=MAP_0F)
VPADDD = Instruction(0xFE, table=MAP_0F)
VPXOR = Instruction(0xEF, table=MAP_0F)
TDPBF16PS = Instruction(0x5C, PF3)
TDPFP16PS = Instruction(0x5C, PF2)
TDPBUSD = Instruction(0x5E)
VZEROUPPER = b"\xc5\xf8\x77"
TILERELEASE = b"\xc4\xe2\x78\x49\xc0"


def zero_vectors(bits: int) -> bytes:
    """Set all vector registers to zero: 16 of 256 bits, or 32 of 512."""
    return b"".join(VPXOR.encode(bits, n, n, n) for n in range(bits // 16))


def accumulating(bits: int, *instructions: Instruction) -> tuple[bytes, int]:
    """Multiply two registers and add to a third, once for each sum; return the code and their number.

    With several instructions, the first multiplies into a scratch register, the last adds that to
    the sum, and those between work on the scratch register.
    """
    count = {128: 6, 256: 14, 512: 24}[bits]
    left, right = {128: (6, 7), 256: (14, 15), 512: (30, 31)}[bits]
    if len(instructions) == 1:
        only = instructions[0]
        return b"".join(only.encode(bits, total, left, right) for total in range(count)), count
    first, *between, last = instructions
    code = b""
    for total in range(count // 2):
        scratch = total + count // 2
        code += first.encode(bits, scratch, left, right)
        code += b"".join(each.encode(bits, scratch, scratch, right) for each in between)
        code += last.encode(bits, total, total, scratch)
    return code, count // 2


def load_tile_configuration() -> bytes:
    """Configure eight tiles of 16 rows of 64 bytes, all zero; the 64 bytes that say so are jumped over."""
    sizes = struct.pack("<8H", *[64] * 8) + bytes(16) + bytes([16] * 8) + bytes(8)
    configuration = bytes([1]) + bytes(15) + sizes  # palette 1
    return b"\xc4\xe2\x78\x49\x05\x02\0\0\0" + b"\xeb\x40" + configuration


def function(setup: bytes, body: bytes, cleanup: bytes) -> bytes:
    """Assemble what runs and times a loop, as a C function for probe.Code.

        void f(long iterations, long repetitions, struct timespec *times,
               int clock_gettime(int, struct timespec *), long *waiting, long skipped)

    It takes one off `waiting` and spins until all threads have. Then each repetition is: the time,
    setup, `body` × iterations, cleanup, the time, the same with a chain after each body, the time.
    The chain has CHAIN_LINKS dependent one-cycle additions, of which the first `skipped` are jumped
    over. The processor executes body and chain side by side; where the chain is longer, its length
    is the number of cycles, by the clock that the body leaves the core.

    Both operands of an addition are registers: Intel's cores since Golden Cove execute additions of
    a small constant while renaming, several of a chain in one cycle.
    """
    # rbx = iterations, rbp = repetitions, r12 = times, r13 = clock_gettime, r14 = 3 × skipped
    code = b"\x53\x55\x41\x54\x41\x55\x41\x56"  # push rbx, rbp, r12, r13, r14: rsp is aligned now
    code += b"\x48\x89\xfb\x48\x89\xf5\x49\x89\xd4\x49\x89\xcd"
    code += b"\x4f\x8d\x34\x49"  # lea r14, [r9 + 2 * r9]
    code += b"\xf0\x49\xff\x08"  # lock dec qword [r8]
    code += b"\xf3\x90\x49\x83\x38\x00\x7f\xf8"  # pause; cmp qword [r8], 0; jg back to pause
    # mov edi, 1 (CLOCK_MONOTONIC); mov rsi, r12; call r13; add r12, 16
    clock = b"\xbf\x01\0\0\0\x4c\x89\xe6\x41\xff\xd5\x49\x83\xc4\x10"
    again = len(code)
    code += clock + setup
    code = _looped(code, body)
    code += cleanup + clock + setup
    code += b"\x31\xc9\x31\xd2"  # xor ecx, ecx; xor edx, edx
    # lea r8, [rip + 6], which is the chain; add r8, r14; jmp r8
    jump = b"\x4c\x8d\x05\x06\0\0\0\x4d\x01\xf0\x41\xff\xe0"
    code = _looped(code, body + jump + b"\x48\x01\xca" * CHAIN_LINKS)  # add rdx, rcx
    code += cleanup + clock + b"\x48\xff\xcd"  # dec rbp
    code += _jump_if_not_zero(again - len(code))
    return code + b"\x41\x5e\x41\x5d\x41\x5c\x5d\x5b\xc3"  # pop r14, r13, r12, rbp, rbx; ret


def _looped(code: bytes, body: bytes) -> bytes:
    """Append `body`, run `iterations` times, at an address that is a multiple of 64."""
    code += b"\x48\x89\xd8"  # mov rax, rbx
    code += b"\x90" * (-len(code) % 64)  # nop
    body += b"\x48\xff\xc8"  # dec rax
    return code + body + _jump_if_not_zero(-len(body))


def _jump_if_not_zero(distance: int) -> bytes:
    """Jump by `distance` bytes, counted from this instruction's first."""
    return b"\x0f\x85" + struct.pack("<i", distance - 6)
