"""A backend that fails for real: what is wrong with a case is told by its size m."""

import ctypes
import os
import signal
import sys
import time

import numpy as np
from numpy_backend import NumpyBackend, Product

from bench.errors import DeviceLost, OutOfMemory

SEGFAULT, EXIT, HANG, RAISE, ALLOCATE, KILLED, WRONG, SLOW, NOISY, LOST, FULL = range(11, 22)


class FaultyBackend(NumpyBackend):
    name = "faulty"

    def prepare(self, case, implementation, device, inputs):
        if case.m == ALLOCATE:
            np.ones(1 << 50)
        if case.m == FULL:
            raise OutOfMemory("the device has 0.0 GiB free")
        if case.m == LOST:
            raise DeviceLost("device 0 has fallen off the bus")
        if case.m == NOISY:
            print("a library's chatter {not json}", flush=True)
            os.write(2, b"more of it\n")
        return FaultyProduct(case, inputs)


class FaultyProduct(Product):
    def __init__(self, case, inputs):
        super().__init__(case, inputs)
        self.case = case

    def run(self, loops):
        if self.case.m == SEGFAULT:
            ctypes.string_at(0)
        elif self.case.m == EXIT:
            print("giving up", file=sys.stderr, flush=True)
            os._exit(7)
        elif self.case.m == HANG:
            # Through PyDLL the GIL is held while C sleeps, so no Python thread can interfere.
            ctypes.PyDLL(None).sleep(1000)
        elif self.case.m == RAISE:
            raise ValueError("the kernel\nis unhappy")
        elif self.case.m == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.case.m == SLOW:
            time.sleep(0.2 * loops)
            return 0.2 * loops
        return super().run(loops)

    def outputs(self):
        outputs = super().outputs()
        if self.case.m == WRONG:
            outputs["c"][0, 0] += 1
        return outputs
