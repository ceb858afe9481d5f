"""Damaged files: whatever the damage, each reader returns rows or refuses with a sentence, and all agree."""

from __future__ import annotations

import csv
import io
import warnings

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.cli.main import cli
from bench.errors import BenchError, UsageError
from bench.results.columns import NAMES
from bench.results.load import load
from bench.results.reader import CUT_OFF, read_rows
from bench.results.validate import validate
from bench.results.writer import record
from tests.results.bad_files import cell, sound
from tests.results.conftest import make_row

SOUND = sound(make_row(64), make_row(65, warnings="=loud"), make_row(66, energy_j=0.5))

NASTY = st.sampled_from(
    [
        *(
            "",
            "-",
            "0",
            "-1",
            "1e999",
            "-1e-320",
            "1e308",
            "nan",
            "NaN",
            "inf",
            "-inf",
            "NA",
            "null",
        ),
        *("9" * 5000, "1" * 300, "0x10", "1_000", "1,5", "١", "9999-99-99T00:00:00Z"),
        *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-02-31T00:00:00Z"),
        *("{}", "[]", '{"a":' * 500 + "1" + "}" * 500, '{"m":' + "9" * 4000 + "}", '{"m":[1]}'),
        *(
            '{"m":NaN}',
            '{"a":"\\ud800"}',
            "{",
            "'",
            '"',
            "=1+1",
            "\x1b[31m",
            "\x00",
            "\r",
            "\n",
            "\u2028",
        ),
        *("true", "TRUE", "ok", "cold", "matmul", "moe_layer", "memory", "16.0", "1e5", "1e+400"),
    ]
) | st.text(max_size=8)


def damaged_cells(change):
    """Return the sound file with cells replaced: (line, column, text) each."""
    rows = list(csv.reader(io.StringIO(SOUND.decode(), newline="")))
    for line, column, text in change:
        rows[line][column] = text
    return b"".join(record(cells) for cells in rows)


CELLS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, len(NAMES) - 1), NASTY), min_size=1, max_size=3
)
BYTES = st.lists(
    st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 40), st.binary(max_size=6)),
    min_size=1,
    max_size=3,
)


def agreed(path):
    """Return whether a file is sound; all that read it agree about it."""
    outcomes = {}
    for read in (load, read_rows, validate):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                result = read(path)
            except UsageError as error:
                assert str(error).startswith(f"{path}")
                outcomes[read.__name__] = None
                continue
        outcomes[read.__name__] = result.rows if read is validate else len(result)
        if read is validate and [one for one in result.problems if one.message != CUT_OFF]:
            outcomes["validate"] = None
    assert len(set(outcomes.values())) == 1, outcomes
    return outcomes["load"] is not None


@settings(max_examples=150, deadline=None)
@given(CELLS)
@example([(1, NAMES.index("schema_version"), "9" * 5000)])
@example([(1, NAMES.index("started_at"), "9999-99-99T00:00:00Z")])
def test_readers_agree_about_damaged_cells(tmp_path_factory, change):
    path = tmp_path_factory.mktemp("cells") / "r.csv"
    path.write_bytes(damaged_cells(change))
    agreed(path)


@settings(max_examples=150, deadline=None)
@given(BYTES)
def test_readers_agree_about_damaged_bytes(tmp_path_factory, change):
    path = tmp_path_factory.mktemp("bytes") / "r.csv"
    content = SOUND
    for start, length, replacement in change:
        content = content[:start] + replacement + content[start + length :]
    path.write_bytes(content)
    agreed(path)


COMMANDS = {
    "validate": ["validate", "r.csv"],
    "show": ["show", "r.csv"],
    "show as json": ["show", "r.csv", "--format", "json"],
    "compare": ["compare", "a.csv", "r.csv", "--all"],
    "cost": ["cost", "r.csv"],
    "merge": ["merge", "r.csv", "-o", "all.csv", "--force"],
    "report": ["report", "r.csv", "-o", "r.html", "--force"],
}


def run(folder, command, monkeypatch):
    monkeypatch.chdir(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = CliRunner().invoke(cli, COMMANDS[command], standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, BenchError):
        raise done.exception
    return done.return_value if done.exception is None else done.exception.exit_code


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("schema_version", "9" * 5000),
        ("started_at", "9999-99-99T00:00:00Z"),
        ("params", '{"m":' + "9" * 4000 + "}"),
        ("params", '{"a":' * 500 + "1" + "}" * 500),
        ("round_medians_s", "0 0 0"),
    ],
)
def test_commands_refuse_what_readers_refuse(tmp_path, monkeypatch, command, column, text):
    (tmp_path / "a.csv").write_bytes(sound(make_row(64, chip="a")))
    (tmp_path / "r.csv").write_bytes(cell(column, text)(SOUND))
    assert run(tmp_path, command, monkeypatch) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "r.csv"]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_survive_whatever_readers_accept(tmp_path, monkeypatch, command):
    (tmp_path / "a.csv").write_bytes(sound(make_row(64, chip="a")))

    @settings(max_examples=60, deadline=None)
    @given(CELLS)
    def survives(change):
        (tmp_path / "r.csv").write_bytes(damaged_cells(change))
        assert run(tmp_path, command, monkeypatch) in (0, 2)

    survives()


@pytest.mark.parametrize("text", ["[]", "[" * 100_000, '{"benchmarks":1,"version":"1.0"}', "\x00"])
@pytest.mark.parametrize("command", ["merge", "report"])
def test_damaged_samples_are_a_sentence(tmp_path, monkeypatch, command, text):
    (tmp_path / "r.csv").write_bytes(SOUND)
    (tmp_path / "r.pyperf.json").write_text(text)
    assert run(tmp_path, command, monkeypatch) == 2
    assert not {"all.csv", "r.html"} & {path.name for path in tmp_path.iterdir()}
