"""Checks of option values that several commands share."""

from __future__ import annotations

import os

import click


def positive(
    context: click.Context, parameter: click.Parameter, value: float | None
) -> float | None:
    """Refuse zero, negative, infinite and not-a-number."""
    if value is not None and not 0 < value < float("inf"):
        raise click.BadParameter(f"{value:g} is not a positive, finite number")
    return value


def processors(context: click.Context, parameter: click.Parameter, value: int | None) -> int | None:
    """Refuse more threads than there are processors to run them: they would only take turns."""
    if value is None:
        return None
    here = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    usable = len(here)
    if value > usable:
        raise click.BadParameter(f"{value} threads, but this process may use {usable} processors")
    return value


def fraction(
    context: click.Context, parameter: click.Parameter, value: float | None
) -> float | None:
    """Refuse everything that is not between zero and one, not-a-number included."""
    if value is not None and not 0 < value < 1:
        raise click.BadParameter(f"{value:g} is not between 0 and 1; 0.02 means 2 %")
    return value
