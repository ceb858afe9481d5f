"""`bench validate-config`: checks a config and counts its cases."""

from __future__ import annotations

import click


@click.command("validate-config")
@click.argument("config")
@click.option("--force", is_flag=True, help="Accept a very large number of cases.")
def command(config: str, force: bool) -> None:
    """Check CONFIG, a file or the name of a shipped config, without running it.

    Each problem is one line with its place, what was expected, and what to do. Cases that need more
    memory than this machine has are a note. Exit codes: 0 sound, 2 not sound.
    """
    from collections import Counter

    from bench.catalog.models import assumed_shapes
    from bench.config.load import load_config
    from bench.measure.case_work import too_large

    loaded = load_config(config, force=force)
    kernels = Counter(case.kernel.name for case in loaded.cases)
    counts = ", ".join(f"{count} {name}" for name, count in kernels.items())
    click.echo(f"{config}: {len(loaded.cases)} cases ({counts}), nothing wrong")
    for sentence in assumed_shapes(case.model for case in loaded.cases):
        click.echo(f"note: {sentence}")
    for sentence in too_large(loaded.cases):
        click.echo(f"note: {sentence}")
