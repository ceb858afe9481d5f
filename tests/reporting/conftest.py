"""Result files with everything a report can show, made by the harness's own row maker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from bench.backend import Device, Limits, Telemetry
from bench.config.cases import Case
from bench.kernels.matmul import Matmul
from bench.kernels.memory import Memory
from bench.kernels.moe.layer import MoeLayer
from bench.measure.case_work import describe_case
from bench.measure.protocol import Outcome
from bench.measure.row import make_row, make_stage_rows
from bench.measure.run import pyperf_run
from bench.reporting.report_rows import prepare
from bench.results.samples import SamplesFile, samples_path
from bench.results.sides import Sides, load_sides
from bench.results.writer import ResultFile
from tests.results.conftest import make_row as matmul_row

WHERE_FROM = (
    *("schema_version", "run_id", "started_at", "host", "config", "config_sha256"),
    *("harness_version", "torch", "python", "backend", "inputs"),
)
IDENTITY = {name: matmul_row()[name] for name in WHERE_FROM}

LAYER = {"hidden": 64, "intermediate": 32, "experts": 8, "top_k": 2, "dtype": "bfloat16"}
CASES = [
    *(Case(Matmul(m=m, n=m, k=m, dtype="bfloat16")) for m in (2048, 4096)),
    Case(Matmul(m=2048, n=512, k=2048, dtype="bfloat16")),
    Case(Matmul(m=2048, n=2048, k=2048, dtype="float32")),
    Case(Memory(operation="copy", size_mib=64)),
    *(Case(MoeLayer(**LAYER, tokens=tokens), "tiny-moe") for tokens in (16, 64, 1024, 4096)),
]

# How far samples are from their median, so that there is something to see.
WIGGLE = (1.0, 0.98, 1.01, 1.0, 0.99, 1.03, 1.0, 1.02, 0.97, 1.0)


@dataclass(frozen=True)
class Chip:
    """A device that reaches the same share of its limits in every case."""

    name: str
    tflops: float = 1.0
    gbps: float = 50.0
    device_name: str = "Example accelerator"
    reaches: float = 0.5
    simulated: bool = False

    def rows(self, case: Case) -> tuple[list[dict[str, object]], Outcome]:
        """Return the rows of a case, of its stages too, and the samples behind them."""
        device = Device(0, self.device_name, self.name, simulated=self.simulated)
        limits = Limits(
            self.tflops, self.gbps, "data sheet of the example", 0.8 * self.tflops, 0.9 * self.gbps
        )
        work = case.kernel.work(0)
        bound = max(work.flops / self.tflops / 1e12, work.bytes / self.gbps / 1e9)
        time_s = bound / self.reaches
        stages = case.kernel.stage_work(0)
        outcome = Outcome(
            "ok",
            implementation="torch",
            verified=True,
            rel_error=0.001,
            tolerance=0.01,
            compared="every element",
            values_s=[time_s * factor for factor in WIGGLE],
            loops=10,
            timing="host",
            flush_bytes=1 << 30,
            stop_reason="precision",
            limits=limits,
            telemetry=Telemetry(power_w=100.0, energy_j=100.0 * time_s),
            stages={name: [time_s * factor / len(stages) for factor in WIGGLE] for name in stages},
        )
        work = describe_case(case.kernel, 0)
        row = make_row(case, device, [outcome], work, seed=0, identity=IDENTITY)
        return [row, *make_stage_rows(device, [outcome], work, row)], outcome


def write(folder: Path, chip: Chip, *more: dict[str, object], cases: list[Case] = CASES) -> Path:
    """Write the result file of a chip with its samples, and return its path."""
    path = folder / f"{chip.name.replace('/', '')}.csv"
    samples = SamplesFile(samples_path(path), keep=False)
    with ResultFile.create(path) as file:
        for case in cases:
            rows, outcome = chip.rows(case)
            for row in rows:
                file.append(row)
            name = f"{case.title} {case.case_id[-10:]}"
            samples.add(name, [pyperf_run(name, rows[0], outcome)])
        for row in more:
            file.append(row)
    samples.write()
    return path


def failed(chip: Chip, case: Case, error: str) -> dict[str, object]:
    """Return the row of a case that the chip could not run."""
    device = Device(0, chip.device_name, chip.name)
    outcome = Outcome("unsupported", error, implementation="torch")
    return make_row(case, device, [outcome], None, seed=0, identity=IDENTITY)


EVIL = "</script><script>window.hacked = 1</script><img src=x onerror=hacked=2>"
BASE = Chip("chip-a")
OTHER = Chip("chip-b", tflops=3.0, gbps=80.0, device_name=f"GPU {EVIL}", reaches=0.7)


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> list[Path]:
    """Two chips: the second has a failed case; its reason and its name contain HTML."""
    folder = tmp_path_factory.mktemp("two-chips")
    extra = Case(Matmul(m=64, n=64, k=64, dtype="float64"))
    return [write(folder, BASE), write(folder, OTHER, failed(OTHER, extra, f"no {EVIL}"))]


@pytest.fixture(scope="session")
def sides(files) -> Sides:
    return load_sides(files)


@pytest.fixture(scope="session")
def rows(sides) -> pd.DataFrame:
    """The rows as charts are given them; a test changes copies only."""
    return prepare(sides.frames)
