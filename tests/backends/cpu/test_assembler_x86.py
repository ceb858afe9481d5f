"""Machine code for x86-64: exact bytes, the disassembler's opinion, and the frame around a loop."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess

import pytest

from backends.cpu import assembler_x86 as x86
from backends.cpu.loops import X86_TILES, X86_VECTORS
from backends.cpu.probe import CHAIN_LINKS

# As GNU as 2.40 assembles them.
ENCODINGS = [
    (x86.VFMADD231PS, 512, (20, 24, 25), "62 82 3d 40 b8 e1"),
    (x86.VFMADD231PH, 512, (20, 24, 25), "62 86 3d 40 b8 e1"),
    (x86.VPDPBUSD, 256, (3, 14, 15), "c4 c2 0d 50 df"),
    (x86.VPDPBUSD, 512, (30, 14, 15), "62 42 0d 48 50 f7"),
    (x86.VDPBF16PS, 512, (30, 14, 15), "62 42 0e 48 52 f7"),
    (x86.VPMADDUBSW, 256, (3, 14, 15), "c4 c2 0d 04 df"),
    (x86.VPMADDUBSW, 512, (3, 14, 15), "62 d2 0d 48 04 df"),
    (x86.VPMADDWD, 512, (3, 14, 15), "62 d1 0d 48 f5 df"),
    (x86.VPADDD, 512, (3, 14, 15), "62 d1 0d 48 fe df"),
    (x86.VPADDSW, 512, (3, 14, 15), "62 d1 0d 48 ed df"),
    (x86.VPXOR, 512, (30, 30, 30), "62 01 0d 40 ef f6"),
    (x86.VPXOR, 256, (13, 13, 13), "c4 41 15 ef ed"),
    (x86.TDPBF16PS, 128, (1, 7, 6), "c4 e2 42 5c ce"),
    (x86.TDPBUSD, 128, (1, 7, 6), "c4 e2 41 5e ce"),
    (x86.TDPFP16PS, 128, (1, 7, 6), "c4 e2 43 5c ce"),
]


@pytest.mark.parametrize(("instruction", "bits", "registers", "expected"), ENCODINGS)
def test_encodings(
    instruction: x86.Instruction, bits: int, registers: tuple[int, int, int], expected: str
) -> None:
    assert instruction.encode(bits, *registers) == bytes.fromhex(expected)


def disassemble(code: bytes, folder) -> list[str]:
    """Return objdump's text of the instructions, without addresses and bytes."""
    if shutil.which("objdump") is None:
        pytest.skip("needs objdump")
    path = folder / "code.bin"
    path.write_bytes(code)
    command = ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this objdump knows no x86-64: {done.stderr.strip()}")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [re.sub(r"\s+", " ", row[2]).strip() for row in rows if len(row) > 2]


NAMES = {
    value: name.lower()
    for name, value in vars(x86).items()
    if name.isupper() and isinstance(value, x86.Instruction)
}


@pytest.mark.parametrize("row", X86_VECTORS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_every_sum_is_independent(row, tmp_path) -> None:
    _, _, _, bits, _, encodings = row
    body, sums = x86.accumulating(bits, *encodings)
    text = disassemble(body, tmp_path)
    assert len(text) == sums * len(encodings)
    assert [line.removeprefix("{vex} ").split()[0] for line in text] == [
        NAMES[each] for each in encodings
    ] * sums
    targets = [
        line.removeprefix("{vex} ").split()[1].split(",")[0]
        for line in text[len(encodings) - 1 :: len(encodings)]
    ]
    assert len(set(targets)) == sums
    assert {target[0] for target in targets} == {"y" if bits == 256 else "z"}


@pytest.mark.parametrize("row", X86_TILES, ids=lambda row: row[0])
def test_every_tile_is_independent(row, tmp_path) -> None:
    body, sums = x86.accumulating(128, row[-1])
    text = disassemble(body, tmp_path)
    assert text == [f"{NAMES[row[-1]]} tmm{n},tmm7,tmm6" for n in range(sums)]


def test_tile_configuration_is_jumped_over(tmp_path) -> None:
    code = x86.load_tile_configuration()
    assert disassemble(code[:11], tmp_path)[0].startswith("ldtilecfg [rip+0x2]")
    assert code[9:11] == b"\xeb\x40"
    configuration = code[11:]
    assert len(configuration) == 64
    assert configuration[0] == 1  # the palette
    assert struct.unpack("<8H", configuration[16:32]) == (64,) * 8  # bytes of a row
    assert configuration[48:56] == bytes([16]) * 8  # rows


def test_jumps_lead_to_loops_and_chain() -> None:
    body = b"\x0f\x1f\x00" * 5
    code = x86.function(b"", body, b"")
    chain = b"\x48\x01\xca" * CHAIN_LINKS
    first, second = (match.start() for match in re.finditer(re.escape(body), code))
    assert first % 64 == second % 64 == 0
    ends = [first + len(body) + 3, second + len(body) + 13 + len(chain) + 3]
    for begin, end in zip((first, second), ends, strict=True):
        assert code[end - 3 : end] == b"\x48\xff\xc8"  # dec rax
        assert code[end : end + 2] == b"\x0f\x85"
        (distance,) = struct.unpack("<i", code[end + 2 : end + 6])
        assert end + 6 + distance == begin
    lea = second + len(body)
    (distance,) = struct.unpack("<i", code[lea + 3 : lea + 7])
    assert lea + 7 + distance == code.index(chain)
