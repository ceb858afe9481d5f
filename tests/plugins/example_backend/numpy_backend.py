"""A complete backend in a package of its own: matrix products by NumPy, timed by the host's clock."""

import time

import numpy as np

from bench.backend import Device, Limits, Telemetry
from bench.errors import Unsupported

DTYPES = {"float64": np.float64, "float32": np.float32}


class NumpyBackend:
    name = "numpy"
    priority = -1  # never the default

    def unavailable(self):
        return None

    def devices(self):
        return [Device(index=0, name="NumPy on this host", chip="host")]

    def versions(self):
        return {"numpy": np.__version__}

    def implementations(self, kernel):
        return ["dot"] if kernel == "matmul" else []

    def unsupported(self, case, implementation, device):
        if case.dtype not in DTYPES:
            return f"NumPy has no fast product in {case.dtype}"
        return None

    def prepare(self, case, implementation, device, inputs):
        if implementation != "dot":
            raise Unsupported(f"no implementation {implementation!r}; there is: dot")
        return Product(case, inputs)

    def limits(self, device, dtype):
        return Limits()  # unknown: rows have rates, but no utilization

    def telemetry(self, device):
        return NoSensors()


class Product:
    timing = "host"
    flush_bytes = 0

    def __init__(self, case, inputs):
        dtype = DTYPES[case.dtype]
        self.a = inputs["a"].array.astype(dtype)
        self.b = inputs["b"].array.astype(dtype)
        if case.layout[0] == "t":
            self.a = self.a.swapaxes(1, 2)
        if case.layout[1] == "t":
            self.b = self.b.swapaxes(1, 2)
        self.c = np.empty((case.batch, case.m, case.n), dtype)

    def run(self, loops):
        start = time.perf_counter()
        for _ in range(loops):
            np.matmul(self.a, self.b, out=self.c)
        return time.perf_counter() - start

    def outputs(self):
        np.matmul(self.a, self.b, out=self.c)
        return {"c": self.c}

    def close(self):
        pass


class NoSensors:
    def start(self):
        pass

    def stop(self):
        return Telemetry()
