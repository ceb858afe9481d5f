"""The documentation: its commands run, its examples are the real ones, its tables are up to date."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from bench.config.load import build_config
from bench.kernels.base import Kernel
from bench.plugins import kernels
from bench.yaml_files.source import parse_yaml
from tests.conftest import Bench

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MOE_DOC = (ROOT / "docs" / "moe.md").read_text()
CONFIG_DOC = (ROOT / "docs" / "config.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


# Each once, however often the README has it.
COMMANDS = [
    *dict.fromkeys(
        tuple(shlex.split(line, comments=True))
        for block in blocks(README, "sh")
        for line in block.splitlines()
        if line.startswith("bench ")
    )
]


def test_there_are_commands():
    assert len(COMMANDS) >= 10


CONFIG = "kernels:\n  - {kernel: matmul, dtype: float32, m: 16, n: 16, k: 16}\n"
RUN = ("run", "my.yaml", "--backend", "cpu", "--time-budget", 0.1, "-o", "my.csv")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A result file as `bench run` writes it."""
    once = Bench(tmp_path_factory.mktemp("measured"), {**os.environ})
    once.write("my.yaml", CONFIG)
    once(*RUN)
    return once.folder / "my.csv"


@pytest.fixture
def prepared(bench):
    """A folder with the files that the README's commands speak of."""
    bench.write("my.yaml", CONFIG)
    (bench.folder / "results").symlink_to(ROOT / "results")
    shutil.copy(ROOT / "tests/data/importers/nvbench.json", bench.folder / "gemm.json")
    return bench


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command) for command in COMMANDS])
def test_a_command_of_the_readme(prepared, measured, command):
    """Runs are cut to listing their cases; test_the_everyday_round measures for real."""
    _, verb, *rest = command
    if verb == "run":
        # Listed, not run, so there is no file to go on with.
        rest = [word for word in rest if word != "--resume"] + ["--list-cases"]
        assert prepared(verb, *rest).stdout
    elif verb == "list":
        assert prepared(verb, *rest).stdout
    else:
        # The shell expands a glob; here it stands for one file.
        rest = [word.replace("*", "a") for word in rest]
        made = rest[rest.index("-o") + 1] if "-o" in rest else None
        for name in rest:
            if name.endswith(".csv") and "/published/" not in name and name != made:
                (prepared.folder / name).parent.mkdir(exist_ok=True)
                shutil.copy(measured, prepared.folder / name)
        shown = prepared(verb, *rest).stdout
        assert "sound" in shown if verb == "validate" else shown


def test_the_everyday_round(prepared):
    """Measure, go on, check, and compare with pyperf, as the README has it."""
    prepared(*RUN, "--seed", 1)
    prepared(*RUN, "--seed", 1, "--resume")
    prepared("validate", "my.csv")


def test_the_example_backend_is_the_one_that_is_tested():
    (example,) = blocks(README, "python")
    real = (ROOT / "tests" / "plugins" / "example_backend" / "numpy_backend.py").read_text()
    assert example.strip() == real.strip()


@pytest.mark.parametrize(
    "text", [*blocks(README, "yaml"), *blocks(CONFIG_DOC, "yaml"), *blocks(MOE_DOC, "yaml")]
)
def test_a_config_of_the_documentation(text):
    assert build_config(parse_yaml(text, "docs"), "docs").cases


@pytest.mark.parametrize("kernel", kernels().values(), ids=kernels())
def test_every_parameter_is_documented(kernel: type[Kernel]):
    for name in kernel.parameter_names():
        assert f"`{name}`" in CONFIG_DOC, name


def test_every_field_of_a_model_is_documented():
    from bench.catalog import attention_kinds as kinds
    from bench.catalog.models import Model

    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    every = (
        kinds.GroupedQuery,
        kinds.Latent,
        kinds.Compressed,
        kinds.LinearAttention,
        kinds.Mamba2,
    )
    for shape in (Model, *every):
        for name in shape.model_fields:
            assert f"`{name}`" in text, f"{shape.__name__}.{name}"


GUIDES = ("ARCHITECTURE.md", "CONTRIBUTING.md")


@pytest.mark.parametrize("name", GUIDES)
def test_every_path_of_a_guide_exists(name):
    """A path is what has a slash or a file's ending, is quoted, and names no placeholder."""
    quoted = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", (ROOT / name).read_text())
    words = [word for text in quoted for word in text.split()]
    paths = [
        word
        for word in words
        if re.fullmatch(r"[\w.*-]+(/[\w.*-]*)+|[\w-]+\.(py|md|toml|cfg|yml|yaml)", word)
        and "NAME" not in word
        and not word.startswith("build/")
    ]
    assert len(paths) >= 15
    for path in paths:
        assert list(ROOT.glob(path.rstrip("/"))), f"{name}: {path}"


def test_the_rooms_of_the_architecture_are_those_of_the_contract():
    page = (ROOT / "ARCHITECTURE.md").read_text()
    table = page.partition("<!-- rooms -->")[2].partition("<!-- end -->")[0]
    contract = (ROOT / "pyproject.toml").read_text().partition('id = "rooms"')[2]
    layers = contract.partition("layers = [")[2].partition("]")[0]
    assert re.findall(r"^\| `([\w.]+)`", table, re.M) == re.findall(r"bench\.\w+", layers)


def test_links_lead_somewhere():
    guides = [ROOT / name for name in ("README.md", *GUIDES)]
    for file in (*guides, *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


@pytest.fixture(scope="module")
def update():
    """The script that puts outputs into pages."""
    spec = importlib.util.spec_from_file_location("update", ROOT / "docs" / "update.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", ["claims.md", "cost.md", "methods.md", "models.md", "results.md", "show.md"]
)
def test_quoted_output_is_up_to_date(update, name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert "<!-- $ " in text
    assert update.updated(text) == text, f"run python docs/update.py docs/{name}"


def test_the_notebook_runs_and_shows_what_it_gives_now(update):
    """Every cell runs in a fresh kernel; an error in one is an error here."""
    page = ROOT / "docs" / "compare.ipynb"
    shown, now = (
        [
            output["data"]["text/plain"]
            for cell in json.loads(text)["cells"]
            for output in cell.get("outputs", [])
        ]
        for text in (page.read_text(encoding="utf-8"), update.executed(page.read_text("utf-8")))
    )
    assert len(shown) >= 5
    assert now == shown, "run python docs/update.py docs/compare.ipynb"


def test_the_example_of_a_file_of_claims():
    from bench.claims.load import build_claims

    (example,) = blocks((ROOT / "docs" / "claims.md").read_text(encoding="utf-8"), "yaml")
    assert len(build_claims(parse_yaml(example, "docs/claims.md")).claims) == 1


def test_the_scripts_of_the_api_run(tmp_path, monkeypatch):
    from tests.results.bad_files import sound
    from tests.results.conftest import make_row

    for chip in "ab":
        rows = [make_row(m, chip=chip) for m in (64, 65)]
        (tmp_path / f"{chip}.csv").write_bytes(sound(*rows))
    monkeypatch.chdir(tmp_path)
    scripts = blocks((ROOT / "docs" / "api.md").read_text(encoding="utf-8"), "python")
    assert len(scripts) == 5
    (tmp_path / "results").symlink_to(ROOT / "results")
    names: dict[str, object] = {}
    for script in scripts:
        exec(script, names)
    assert len(names["times"]) == 4
    assert list(names["found"].others) == ["b"]
    assert names["costs"].tokens and names["run"].days and names["served"].phases
    assert "in units of b" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert {path.suffix for path in names["pictures"]} == {".svg"}


def test_the_api_page_names_everything():
    import dataclasses
    import inspect

    import bench
    from bench.analysis.inference import InferenceProjection
    from bench.analysis.pricing import Costs
    from bench.analysis.training import TrainingProjection

    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    answers = (bench.Comparison, Costs, TrainingProjection, InferenceProjection)
    fields = [field.name for answer in answers for field in dataclasses.fields(answer)]
    parameters = {
        *inspect.signature(bench.compare).parameters,
        *inspect.signature(bench.cost).parameters,
        *inspect.signature(bench.load).parameters,
        *inspect.signature(bench.report).parameters,
    }
    for name in (*fields, *parameters):
        assert f"`{name}`" in page or f"({name}" in page, name
