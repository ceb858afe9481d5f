"""Runs a command in this process, which is fast, and returns its output or error message."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bench.cli.main import cli
from bench.errors import BenchError


@dataclass
class Invoke:
    """Calls `bench` in an empty folder; raises exceptions that are not messages to the user."""

    folder: Path

    def __call__(self, *arguments, status=0):
        done = CliRunner().invoke(cli, [str(word) for word in arguments], standalone_mode=False)
        error = done.exception
        if error is not None and not isinstance(error, (BenchError, click.ClickException)):
            raise error
        exit_code = (done.return_value or 0) if error is None else error.exit_code
        message = str(error or "")
        if isinstance(error, click.ClickException):
            message = error.format_message()
        assert exit_code == status, message or done.output
        return message or done.output


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return Invoke(tmp_path)
