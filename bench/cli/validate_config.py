"""`bench validate-config`: would `bench run` take this config, and what would it measure?"""

from __future__ import annotations

import click


@click.command("validate-config")
@click.argument("config")
@click.option("--force", is_flag=True, help="Allow very many cases.")
def command(config: str, force: bool) -> None:
    """Check CONFIG, a file or a shipped config's name, without running it.

    Every problem is one line that says where it is, what was expected, and what to do; the exit
    code is 2 then. Cases that need more memory than this machine has are a note: another may have it.
    """
    from collections import Counter

    from bench.catalog.models import assumed_shapes
    from bench.config.load import load_config
    from bench.measure.case_work import too_large

    loaded = load_config(config, force=force)
    kernels = Counter(case.kernel.name for case in loaded.cases)
    told = ", ".join(f"{count} {name}" for name, count in kernels.items())
    click.echo(f"{config}: {len(loaded.cases)} cases ({told}), nothing wrong")
    for sentence in assumed_shapes(case.model for case in loaded.cases):
        click.echo(f"note: {sentence}")
    for sentence in too_large(loaded.cases):
        click.echo(f"note: {sentence}")
