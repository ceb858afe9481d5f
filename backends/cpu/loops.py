"""Which loops of multiply-adds a processor can run: one for each instruction set and dtype.

A loop's operands are registers, and its results are independent of each other for longer than an
instruction takes, so nothing but the execution units limits it. A multiply-add is two operations.
The registers hold zeros: the units take as long for those as for other numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from backends.cpu import assembler_arm as arm
from backends.cpu import assembler_x86 as x86
from backends.cpu.topology import CpuIdentity

UNROLLED = 2  # rounds over the sums per iteration: the branch hides behind them

# Instructions, dtype, instruction sets as the kernel names them, bits of a register, operations per
# sum, encodings. No processor with VNNI needs the multiplications in two steps; others do.
X86_VECTORS = (
    ("AVX2 FMA", "float64", "avx2 fma", 256, 8, [x86.VFMADD231PD]),
    ("AVX2 FMA", "float32", "avx2 fma", 256, 16, [x86.VFMADD231PS]),
    ("AVX2 VPMADDUBSW, int16 sums", "int8", "avx2", 256, 64, [x86.VPMADDUBSW, x86.VPADDSW]),
    (
        "AVX2 VPMADDUBSW and VPMADDWD",
        "int8",
        "avx2",
        256,
        64,
        [x86.VPMADDUBSW, x86.VPMADDWD, x86.VPADDD],
    ),
    ("AVX-VNNI VPDPBUSD", "int8", "avx_vnni", 256, 64, [x86.VPDPBUSD]),
    ("AVX-512 FMA", "float64", "avx512f", 512, 16, [x86.VFMADD231PD]),
    ("AVX-512 FMA", "float32", "avx512f", 512, 32, [x86.VFMADD231PS]),
    ("AVX512-FP16 FMA, float16 sums", "float16", "avx512_fp16", 512, 64, [x86.VFMADD231PH]),
    ("AVX512-BF16 VDPBF16PS", "bfloat16", "avx512_bf16", 512, 64, [x86.VDPBF16PS]),
    ("AVX-512 VPMADDUBSW, int16 sums", "int8", "avx512bw", 512, 128, [x86.VPMADDUBSW, x86.VPADDSW]),
    (
        "AVX-512 VPMADDUBSW and VPMADDWD",
        "int8",
        "avx512bw",
        512,
        128,
        [x86.VPMADDUBSW, x86.VPMADDWD, x86.VPADDD],
    ),
    ("AVX512-VNNI VPDPBUSD", "int8", "avx512_vnni", 512, 128, [x86.VPDPBUSD]),
)
# Tiles of 16 rows of 64 bytes; a product adds 16×16 sums over 32 numbers of 16 bits, or 64 of 8.
X86_TILES = (
    ("AMX-FP16", "float16", "amx_tile amx_fp16", 2 * 16 * 16 * 32, x86.TDPFP16PS),
    ("AMX-BF16", "bfloat16", "amx_tile amx_bf16", 2 * 16 * 16 * 32, x86.TDPBF16PS),
    ("AMX-INT8", "int8", "amx_tile amx_int8", 2 * 16 * 16 * 64, x86.TDPBUSD),
)
# Operations per 128 bits of a register.
ARM_NEON = (
    ("NEON FMLA", "float64", "asimd", 4, [arm.NEON["FMLA float64"]]),
    ("NEON FMLA", "float32", "asimd", 8, [arm.NEON["FMLA float32"]]),
    ("NEON FMLA, float16 sums", "float16", "asimdhp", 16, [arm.NEON["FMLA float16"]]),
    ("NEON BFDOT", "bfloat16", "bf16", 16, [arm.NEON["BFDOT"]]),
    ("NEON BFMMLA", "bfloat16", "bf16", 32, [arm.NEON["BFMMLA"]]),
    ("NEON SMLAL, int16 sums", "int8", "asimd", 16, [arm.NEON["SMLAL"], arm.NEON["SMLAL2"]]),
    ("NEON SDOT", "int8", "asimddp", 32, [arm.NEON["SDOT"]]),
    ("NEON SMMLA", "int8", "i8mm", 64, [arm.NEON["SMMLA"]]),
)
ARM_SVE = (
    ("SVE FMLA", "float64", "sve", 4, [arm.SVE["FMLA float64"]]),
    ("SVE FMMLA", "float64", "svef64mm", 8, [arm.SVE["FMMLA float64"]]),
    ("SVE FMLA", "float32", "sve", 8, [arm.SVE["FMLA float32"]]),
    ("SVE FMMLA", "float32", "svef32mm", 16, [arm.SVE["FMMLA float32"]]),
    ("SVE FMLA, float16 sums", "float16", "sve", 16, [arm.SVE["FMLA float16"]]),
    ("SVE BFDOT", "bfloat16", "svebf16", 16, [arm.SVE["BFDOT"]]),
    ("SVE BFMMLA", "bfloat16", "svebf16", 32, [arm.SVE["BFMMLA"]]),
    ("SVE SDOT", "int8", "sve", 32, [arm.SVE["SDOT"]]),
    ("SVE SMMLA", "int8", "svei8mm", 64, [arm.SVE["SMMLA"]]),
)


@dataclass(frozen=True)
class MachineLoop:
    """Machine code that multiplies and adds in a dtype.

    `operations` counts one iteration, of a `scalable` loop per 16 bytes of the vector length, which
    the processor chooses. `tiles` says that Linux must permit the use of AMX first.
    """

    instructions: str
    dtype: str
    operations: int
    code: bytes
    tiles: bool = False
    scalable: bool = False

    @property
    def name(self) -> str:
        """Instructions and dtype, which no two loops share."""
        return f"{self.instructions}: {self.dtype}"


def loops_of(cpu: CpuIdentity) -> list[MachineLoop]:
    """List the loops whose instruction sets the kernel lists, those of narrow registers first.

    In this order a processor that lowers its clock under wide instructions, and for a while after
    them, does so once per pass over all loops.
    """
    if cpu.architecture == "x86_64":
        return [*_vector_loops(cpu.flags), *_tile_loops(cpu.flags)]
    if cpu.architecture == "aarch64":
        return list(_arm_loops(cpu.flags))
    return []


def _vector_loops(flags: frozenset[str]) -> Iterator[MachineLoop]:
    for instructions, dtype, needs, bits, operations, encodings in X86_VECTORS:
        if flags.issuperset(needs.split()):
            body, sums = x86.accumulating(bits, *encodings)
            code = x86.function(x86.zero_vectors(bits), body * UNROLLED, x86.VZEROUPPER)
            yield MachineLoop(instructions, dtype, operations * sums * UNROLLED, code)


def _tile_loops(flags: frozenset[str]) -> Iterator[MachineLoop]:
    for instructions, dtype, needs, operations, encoding in X86_TILES:
        if flags.issuperset(needs.split()):
            body, sums = x86.accumulating(128, encoding)
            setup = x86.load_tile_configuration()
            code = x86.function(setup, body * UNROLLED, x86.TILERELEASE)
            yield MachineLoop(instructions, dtype, operations * sums * UNROLLED, code, tiles=True)


def _arm_loops(flags: frozenset[str]) -> Iterator[MachineLoop]:
    for scalable, table in ((False, ARM_NEON), (True, ARM_SVE)):
        for instructions, dtype, needs, operations, encodings in table:
            if needs in flags:
                body, sums = arm.accumulating(*encodings)
                code = arm.function(arm.zero_vectors(scalable), body * UNROLLED)
                total = operations * sums * UNROLLED
                yield MachineLoop(instructions, dtype, total, code, scalable=scalable)
