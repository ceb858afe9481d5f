"""Machine code for 64-bit Arm: exact words, and a run in an emulator where there is one."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from backends.cpu import assembler_arm as arm
from backends.cpu.loops import ARM_NEON, ARM_SVE, loops_of
from backends.cpu.probe import CHAIN_LINKS
from backends.cpu.topology import CpuIdentity

FLAGS = frozenset(row[2] for row in (*ARM_NEON, *ARM_SVE))
LOOPS = loops_of(CpuIdentity("aarch64", "Linux", "Arm", 8, 0, "CPU", FLAGS))

# Of registers 20, 30 and 31, as GNU as 2.40 assembles them.
WORDS = [
    (arm.NEON["FMLA float64"], 0x4E7FCFD4),  # fmla v20.2d, v30.2d, v31.2d
    (arm.NEON["FMLA float32"], 0x4E3FCFD4),  # fmla v20.4s, v30.4s, v31.4s
    (arm.NEON["FMLA float16"], 0x4E5F0FD4),  # fmla v20.8h, v30.8h, v31.8h
    (arm.NEON["BFDOT"], 0x6E5FFFD4),  # bfdot v20.4s, v30.8h, v31.8h
    (arm.NEON["BFMMLA"], 0x6E5FEFD4),  # bfmmla v20.4s, v30.8h, v31.8h
    (arm.NEON["SMLAL"], 0x0E3F83D4),  # smlal v20.8h, v30.8b, v31.8b
    (arm.NEON["SMLAL2"], 0x4E3F83D4),  # smlal2 v20.8h, v30.16b, v31.16b
    (arm.NEON["SDOT"], 0x4E9F97D4),  # sdot v20.4s, v30.16b, v31.16b
    (arm.NEON["SMMLA"], 0x4E9FA7D4),  # smmla v20.4s, v30.16b, v31.16b
    (arm.SVE["FMLA float64"], 0x65FF03D4),  # fmla z20.d, p0/m, z30.d, z31.d
    (arm.SVE["FMLA float32"], 0x65BF03D4),  # fmla z20.s, p0/m, z30.s, z31.s
    (arm.SVE["FMLA float16"], 0x657F03D4),  # fmla z20.h, p0/m, z30.h, z31.h
    (arm.SVE["FMMLA float64"], 0x64FFE7D4),  # fmmla z20.d, z30.d, z31.d
    (arm.SVE["FMMLA float32"], 0x64BFE7D4),  # fmmla z20.s, z30.s, z31.s
    (arm.SVE["BFDOT"], 0x647F83D4),  # bfdot z20.s, z30.h, z31.h
    (arm.SVE["BFMMLA"], 0x647FE7D4),  # bfmmla z20.s, z30.h, z31.h
    (arm.SVE["SDOT"], 0x449F03D4),  # sdot z20.s, z30.b, z31.b
    (arm.SVE["SMMLA"], 0x451F9BD4),  # smmla z20.s, z30.b, z31.b
]


@pytest.mark.parametrize(("encoding", "expected"), WORDS)
def test_encodings(encoding: int, expected: int) -> None:
    body, _ = arm.accumulating(encoding)
    assert body[arm.SUMS.index(20)] == expected


def test_callee_saved_registers_are_left_alone() -> None:
    body, sums = arm.accumulating(arm.NEON["FMLA float32"])
    targets = {word & 31 for word in body}
    assert len(targets) == sums == 22
    assert not targets & set(range(8, 16))


def test_branches_lead_to_loops_and_chain() -> None:
    body = [0xD503201F] * 5  # nop
    code = arm.function([], body)
    words = list(struct.unpack(f"<{len(code) // 4}I", code))
    first = words.index(body[0])
    second = words.index(body[0], first + len(body))
    chain = words.index(0x8B020021)
    assert words[chain : chain + CHAIN_LINKS] == [0x8B020021] * CHAIN_LINKS
    for begin, branch in ((first, first + 6), (second, chain + CHAIN_LINKS + 1)):
        assert words[branch] & 0xFF00001F == 0x54000001  # b.ne
        assert branch + (words[branch] >> 5 & 0x7FFFF) - 2**19 == begin
    adr = second + len(body)
    assert words[adr] == 0x10000069  # adr x9, 12
    assert adr + 3 == chain


DRIVER = r"""
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

typedef void loop(long, long, struct timespec *, void *, int64_t *, long);

int main(int count, char **paths) {
    for (int i = 1; i < count; i++) {
        char *page = mmap(0, 65536, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        FILE *file = fopen(paths[i], "rb");
        size_t size = fread(page, 1, 65536, file);
        __builtin___clear_cache(page, page + size);
        struct timespec times[6];
        int64_t waiting = 1;
        register double kept __asm__("d8") = 1.5;
        __asm__ volatile("" : "+w"(kept));
        ((loop *)page)(10, 2, times, clock_gettime, &waiting, 100);
        __asm__ volatile("" : "+w"(kept));
        int ordered = 1;
        for (int k = 1; k < 6; k++)
            ordered &= (times[k].tv_sec - times[k - 1].tv_sec) * 1000000000L
                           + times[k].tv_nsec - times[k - 1].tv_nsec > 0;
        printf("%ld %g %d\n", (long)waiting, kept, ordered);
    }
}
"""


def test_every_loop_runs_in_an_emulator(tmp_path: Path) -> None:
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("needs aarch64-linux-gnu-gcc and qemu-aarch64")
    source, driver = tmp_path / "driver.c", tmp_path / "driver"
    source.write_text(DRIVER)
    subprocess.run([compiler, "-O1", "-static", str(source), "-o", str(driver)], check=True)
    paths = []
    for place, loop in enumerate(LOOPS):
        paths.append(tmp_path / f"{place}.bin")
        paths[-1].write_bytes(loop.code)
    command = [emulator, "-cpu", "max", str(driver), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    # Each took itself off the waiting, kept the caller's d8, and read a clock that goes forward.
    assert done.stdout.splitlines() == ["0 1.5 1"] * len(LOOPS)
