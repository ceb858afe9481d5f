"""`bench models import`: adds a model to those that configs, `project` and `cost` know."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("models")
def command() -> None:
    """Add models of your own; `bench list models` shows all."""


@command.command("import")
@click.argument("config", metavar="config.json", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The name in configs and results, such as my-model-1.")
@click.option("--title", help="The name in reports.  [default: the name]")
@click.option("--force", is_flag=True, help="Replace a model of your own of the same name.")
@click.option("--print", "only_print", is_flag=True, help="Print the entry, save nothing.")
def import_(config: Path, name: str, title: str | None, force: bool, only_print: bool) -> None:
    """Make an entry from the config.json of a model on Hugging Face.

    The entry is saved in your configuration folder, and the model is known from then on: as `model: NAME` in
    configs, in `bench project` and in `bench cost`. A config does not say how many parameters its publisher
    counts; the entry's sizes are counted from the shape. Model types that are not known are refused.
    """
    from bench.catalog import huggingface_import
    from bench.catalog.model_size import active_parameters, total_parameters

    model = huggingface_import.read_file(config, name, title)
    entry = huggingface_import.entry(model)
    if only_print:
        click.echo(entry, nl=False)
        return
    path = huggingface_import.save(model, force=force)
    click.echo(
        f"{path}: {name}, {total_parameters(model) / 1e9:.1f} billion parameters, "
        f"{active_parameters(model) / 1e9:.1f} active"
    )
