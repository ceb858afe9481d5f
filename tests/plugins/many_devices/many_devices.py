"""Four devices that are really none: each does its work by sleeping, device 2 a fifth longer.

The size m of a case selects what happens to a device. When each device began and ended its samples is
written to the folder that MANY_DEVICES names.
"""

import os
import time
from pathlib import Path

import numpy as np
from numpy_backend import NumpyBackend, Product

from bench.backend import Device, Telemetry
from bench.errors import DeviceLost

LOST, GONE, FAILS, HANGS = 31, 32, 33, 34
UNLUCKY = 1
FOLDER = Path(os.environ.get("MANY_DEVICES", "."))
SLOW = {2: 1.2}


class ManyDevices(NumpyBackend):
    name = "many"

    def devices(self):
        gone = (FOLDER / "gone").exists()
        indices = [index for index in range(4) if not (gone and index == UNLUCKY)]
        return [Device(index=index, name=f"Nap {index}", chip="nap") for index in indices]

    def prepare(self, case, implementation, device, inputs):
        if device.index == UNLUCKY:
            if case.m == LOST and not (FOLDER / "healed").exists():
                raise DeviceLost("device 1 has fallen off the bus")
            if case.m == GONE:
                (FOLDER / "gone").touch()
                os._exit(1)
            if case.m == FAILS:
                raise ValueError("not on this one")
            if case.m == HANGS:
                time.sleep(1000)
        return Nap(case, inputs, device)

    def telemetry(self, device):
        return Trace(device)


class Nap(Product):
    def __init__(self, case, inputs, device):
        super().__init__(case, inputs)
        self.seconds = 1e-3 * SLOW.get(device.index, 1.0)

    def run(self, loops):
        time.sleep(loops * self.seconds)
        return loops * self.seconds * (1 + 1e-3 * np.random.default_rng().random())


class Trace:
    def __init__(self, device):
        self.device = device

    def start(self):
        self.began = time.monotonic()

    def stop(self):
        with (FOLDER / f"trace-{self.device.index}").open("a") as file:
            file.write(f"{self.began} {time.monotonic()}\n")
        return Telemetry(other_processes=self.device.index // 3)
