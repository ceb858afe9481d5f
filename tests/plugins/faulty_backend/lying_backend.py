"""A backend that lies about what it did or how long it took: the size m of a case selects the lie."""

import threading
import time

import numpy as np
from numpy_backend import NumpyBackend, Product

IDLE, THOUSANDFOLD, THIRD, EARLY, ONCE, FIRST_ONLY, HUNDREDTH, MOON, ZERO, WORDS = range(61, 71)
TRUE, AGES, NEGATIVE, CONSTANT, NO_TIMING = range(71, 76)
COMPLEX, EXTRA, STRINGS, LISTS, FLAT, NO_MAPPING, NOTHING, OBJECTS, NUMBERED = range(76, 85)
BYTES_IN_WORDS, COMPILED_IN_WORDS, STAGED, RENAMED = range(85, 89)


class LyingBackend(NumpyBackend):
    name = "lying"

    def prepare(self, case, implementation, device, inputs):
        kinds = {
            IDLE: Idle,
            EARLY: Early,
            STAGED: Backwards,
            ONCE: Once,
            FIRST_ONLY: FirstOnly,
            HUNDREDTH: Hundredth,
        }
        if case.m in MISSHAPEN:
            return Misshapen(case, inputs)
        return kinds.get(case.m, Misread)(case, inputs)


class Liar(Product):
    def __init__(self, case, inputs):
        super().__init__(case, inputs)
        self.case = case
        self.executed = 0


class Misread(Liar):
    """Does its work and tells another time."""

    def __init__(self, case, inputs):
        super().__init__(case, inputs)
        if case.m == MOON:
            self.timing = "the moon"
        if case.m == NO_TIMING:
            self.timing = None
        if case.m == BYTES_IN_WORDS:
            self.flush_bytes = "none"
        if case.m == COMPILED_IN_WORDS:
            self.compile_s = "fast"

    def run(self, loops):
        seconds = super().run(loops)
        reported = {
            THOUSANDFOLD: seconds * 1000,
            THIRD: seconds / 3,
            ZERO: 0.0,
            WORDS: f"{seconds}",
            TRUE: True,
            AGES: 1e300,
            NEGATIVE: -seconds,
            CONSTANT: 1e-6,
        }
        return reported.get(self.case.m, seconds)


class Idle(Liar):
    """Computes only when it is asked for outputs, and hands over what `run` left: nothing."""

    def run(self, loops):
        start = time.perf_counter()
        for _ in range(loops):
            pass
        return time.perf_counter() - start

    def take_outputs(self):
        left = self.c.copy()
        self.c.fill(np.nan)
        return {"c": left}


class Early(Liar):
    """Returns when a quarter is done; hands outputs over when all is, as a device's queue does."""

    def __init__(self, case, inputs):
        super().__init__(case, inputs)
        self.threads = []

    def run(self, loops):
        rest = threading.Thread(target=super().run, args=(loops - loops // 4,), daemon=True)
        seconds = super().run(max(1, loops // 4))
        self.threads.append(rest)
        rest.start()
        return seconds

    def outputs(self):
        while self.threads:
            self.threads.pop().join()
        return super().outputs()


class Backwards(Liar):
    """Has a stage that takes less than no time."""

    def stages(self, loops):
        return {"experts": -1.0}


class Once(Liar):
    """Executes once, however often it is asked to."""

    def run(self, loops):
        return super().run(1)


class FirstOnly(Liar):
    """Is right the first time it is asked, and never again."""

    def outputs(self):
        self.executed += 1
        outputs = super().outputs()
        return {"c": outputs["c"] if self.executed == 1 else outputs["c"] * 1.5}


class Hundredth(Liar):
    """Gets one element wrong from the hundredth execution on."""

    def run(self, loops):
        self.executed += loops
        return super().run(loops)

    def outputs(self):
        outputs = super().outputs()
        if self.executed >= 100:
            outputs["c"][0, 3, 5] += 1
        return outputs


class Misshapen(Liar):
    """Hands over outputs that are none."""

    def outputs(self):
        return MISSHAPEN[self.case.m](super().outputs()["c"])


MISSHAPEN = {
    COMPLEX: lambda c: {"c": c + 1j},
    EXTRA: lambda c: {"c": c, "d": c},
    STRINGS: lambda c: {"c": c.astype(str)},
    LISTS: lambda c: {"c": c.tolist()},
    FLAT: lambda c: {"c": c.ravel()},
    NO_MAPPING: lambda c: [c],
    NOTHING: lambda c: None,
    OBJECTS: lambda c: {"c": c.astype(object)},
    RENAMED: lambda c: {"y": c},
    NUMBERED: lambda c: {0: c},
}
