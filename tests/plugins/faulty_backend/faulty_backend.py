"""A backend that fails for real: the size m of a case selects what goes wrong."""

import ctypes
import os
import signal
import sys
import time

import numpy as np
from numpy_backend import NumpyBackend, Product

from bench.backend import Finding
from bench.errors import DeviceLost, OutOfMemory

SEGFAULT, EXIT, HANG, RAISE, ALLOCATE, KILLED, WRONG, SLOW, NOISY, LOST, FULL = range(11, 22)
SENSORLESS, UNCLOSED = range(22, 24)


class FaultyBackend(NumpyBackend):
    name = "faulty"

    def diagnose(self):
        return [Finding("warn", "fan", "it is loud", "sudo fanctl --quiet")]

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
        self.case = case
        return FaultyProduct(case, inputs)

    def telemetry(self, device):
        if self.case.m == SENSORLESS:
            raise PermissionError("the sensors are root's")
        return super().telemetry(device)


class CrashingBackend(NumpyBackend):
    """A driver so broken that looking for devices ends the process."""

    name = "crashing"
    priority = 100

    def unavailable(self):
        os._exit(9)


class DevicelessBackend(NumpyBackend):
    name = "deviceless"
    priority = 100

    def diagnose(self):
        raise RuntimeError("nothing works")

    def devices(self):
        raise OSError("the driver does not answer")


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

    def close(self):
        if self.case.m == UNCLOSED:
            raise RuntimeError("memory was freed twice")

    def outputs(self):
        outputs = super().outputs()
        if self.case.m == WRONG:
            outputs["c"][0, 0] += 1
        return outputs
