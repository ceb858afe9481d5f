"""Every command that reads a file, given what is none: a sentence and exit code 2."""

from __future__ import annotations

import os

import pytest

from tests.results.bad_files import sound

COMMANDS = {
    "run": ["run", "{}", "--list-cases"],
    "validate-config": ["validate-config", "{}"],
    "show": ["show", "{}"],
    "compare": ["compare", "good.csv", "{}"],
    "report": ["report", "{}"],
    "report --claims": ["report", "good.csv", "--claims", "{}"],
    "claims": ["claims", "{}"],
    "cost": ["cost", "{}"],
    "merge": ["merge", "good.csv", "{}", "-o", "merged.csv"],
    "validate": ["validate", "{}"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One file of each kind; none of them can be read as what it is named."""
    path = tmp_path_factory.mktemp("kinds")
    (path / "good.csv").write_bytes(sound())
    (path / "folder.csv").mkdir()
    os.mkfifo(path / "pipe.csv")
    (path / "binary.csv").write_bytes(bytes(range(256)) * 20)
    (path / "empty.csv").write_bytes(b"")
    (path / "long_line.csv").write_bytes(b"x" * 2_000_000)
    (path / "zeros.csv").write_bytes(b"\0" * 1000)
    (path / "deep.csv").write_text("[" * 100_000)
    (path / "dangling.csv").symlink_to("nowhere")
    (path / "circular.csv").symlink_to("circular.csv")
    return path


KINDS = ["folder", "pipe", "binary", "empty", "long_line", "zeros", "deep", "dangling", "circular"]
NAMES = [*(f"{kind}.csv" for kind in KINDS), "missing.csv", "/dev/null", "/dev/zero"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_refused(folder, invoke, monkeypatch, command, name):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    message = invoke(*(word.replace("{}", name) for word in COMMANDS[command]), status=2)
    assert message
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("command", ["show", "report", "claims", "merge", "validate", "cost"])
def test_an_empty_name_is_not_the_current_folder(folder, invoke, monkeypatch, command):
    monkeypatch.chdir(folder)
    more = ["-o", "merged.csv"] if command == "merge" else []
    assert "it is empty" in invoke(command, "", *more, status=2)


@pytest.mark.parametrize("command", ["show", "validate-config", "claims"])
def test_a_name_that_no_file_can_have(bench, command):
    done = bench(command, "n" * 5000, status=2)
    assert "File name too long" in done.stderr
    assert len(done.stderr) < 2500, "the name is cut"
