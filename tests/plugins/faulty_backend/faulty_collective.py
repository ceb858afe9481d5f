"""A collective that goes wrong on rank 1: how, the size of the case says."""

import ctypes
import os
import signal
import time
from dataclasses import replace

from backends.torch.collective import TorchCollective

RIGHT, WRONG, WRONG_LATER, KILLED, HUNG, RAISES, LATE = range(40, 68, 4)
UNLUCKY = 1


class FaultyCollective(TorchCollective):
    def build(self, case, group, device, seed):
        steps = super().build(case, group, device, seed)
        if group.rank != UNLUCKY:
            return steps
        if case.size_bytes == LATE:
            time.sleep(1)
        return replace(steps, last=Unlucky(steps.last, case.size_bytes))


class Unlucky:
    def __init__(self, last, fault):
        self.last = last
        self.fault = fault
        self.executed = 0

    def __call__(self):
        self.executed += 1
        timed = self.executed > 1
        if self.fault == KILLED and timed:
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.fault == HUNG and timed:
            # The GIL is held while C sleeps, so no Python thread can interfere.
            ctypes.PyDLL(None).sleep(1000)
        elif self.fault == RAISES and timed:
            raise ValueError("the link is unhappy")
        outputs = self.last()
        if self.fault == WRONG or (self.fault == WRONG_LATER and timed):
            outputs["y"][3] += 1
        return outputs
