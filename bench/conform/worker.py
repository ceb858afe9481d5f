"""The worker of a conformance run: also answers requests to run one check."""

from __future__ import annotations

import gc
import time
from dataclasses import asdict
from typing import Any

from bench.conform.check import Check, CheckResult, Verdict
from bench.conform.checks import BY_NAME
from bench.conform.outcomes import Failed, NotApplicable
from bench.conform.subject import Subject
from bench.measure.border import WrongValue
from bench.measure.choice import find_device
from bench.measure.timing import WrongTiming
from bench.measure.worker import Worker
from bench.measure.worker import main as serve


def run_check(check: Check, subject: Subject) -> CheckResult:
    """Run a check in this process; whatever it raises is its result."""
    began = time.monotonic()
    verdict: Verdict = "failed"
    try:
        seen, verdict = check.run(subject), "passed"
    except NotApplicable as reason:
        seen, verdict = str(reason), "not applicable"
    except (Failed, WrongValue, WrongTiming) as fault:
        seen = str(fault)
    except (Exception, SystemExit) as error:
        seen = f"{type(error).__name__}: {error}"
    finally:
        gc.collect()
    target = ".".join(name for name in (subject.kernel, subject.implementation) if name)
    return CheckResult(
        check.name,
        target if check.scope in ("kernel", "implementation") else "",
        verdict,
        " ".join(seen.split()),
        check.expected,
        check.contract,
        time.monotonic() - began,
    )


class ConformWorker(Worker):
    """A worker that keeps the subject from check to check."""

    def answer(self, request: dict[str, Any]) -> Any:
        """Answer a request for a check, or one of those that every worker knows."""
        if request["request"] != "check":
            return super().answer(request)
        backend = self.backend(request["backend"])
        subject = Subject(
            backend,
            find_device(backend.devices(), request["device"]),
            request["kernel"],
            request["implementation"],
            request["budget_s"],
        )
        return asdict(run_check(BY_NAME[request["check"]], subject))


def main() -> None:
    """Serve the command that started this process."""
    serve(ConformWorker)
