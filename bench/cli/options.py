"""Types and checks of option values that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from bench.processors import PROCESSORS

FORMATS = ("table", "markdown", "csv", "json")


def format_option(help: str, formats: Sequence[str] = FORMATS) -> Callable[..., Any]:
    """Return the option --format, whose value is the parameter `form`."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(formats),
        default="table",
        show_default=True,
        help=help,
    )


class OutputPath(click.Path):
    """The path of a file to be written, which must not be a folder; it may exist or not."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> Any:
        """Return the path; fail for an existing folder and for what has no file name."""
        path = Path(str(super().convert(value, parameter, context)))
        if not str(value).strip():
            self.fail("it is empty; give a file name, or omit the option", parameter, context)
        if path.name in ("", ".."):
            self.fail(f"{str(value)!r} is a folder, not a file", parameter, context)
        return path


class InputPath(click.Path):
    """The path of a file, folder or glob to be read; an empty one would be the current folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> Any:
        """Return the path; fail if it is empty, as an unset variable of a script is."""
        if not str(value).strip():
            self.fail("it is empty; name a file or folder", parameter, context)
        return super().convert(value, parameter, context)


def positive(
    context: click.Context, parameter: click.Parameter, value: float | None
) -> float | None:
    """Refuse zero, negative numbers, infinity and NaN."""
    if value is not None and not 0 < value < float("inf"):
        raise click.BadParameter(f"{value:g} is not a positive, finite number")
    return value


class FiniteRange(click.FloatRange):
    """A range of finite numbers; click.FloatRange accepts NaN, because it fails no comparison."""

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        """Return the number; fail if it is not finite or not in the range."""
        number = float(super().convert(value, parameter, context))
        if not math.isfinite(number):
            self.fail(f"{number:g} is not a finite number", parameter, context)
        return number


def not_empty(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse an empty text, such as that of an unset variable."""
    if value is not None and not value.strip(" ,"):
        raise click.BadParameter("it is empty; give a value, or omit the option")
    return value


# Bounds for tokens, widths and bytes of a projection; no model comes close.
SIZE = click.IntRange(1, 10**9)


def processors(context: click.Context, parameter: click.Parameter, value: int | None) -> int | None:
    """Refuse more threads than processors: they would only take turns."""
    if value is None:
        return None
    usable = len(PROCESSORS)
    if value > usable:
        raise click.BadParameter(f"{value} threads, but this process may use {usable} processors")
    return value


def fraction(
    context: click.Context, parameter: click.Parameter, value: float | None
) -> float | None:
    """Refuse everything that is not between 0 and 1, NaN included."""
    if value is not None and not 0 < value < 1:
        raise click.BadParameter(f"{value:g} is not between 0 and 1; 0.02 means 2 %")
    return value
