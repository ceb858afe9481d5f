"""`bench schema`: JSON schemas of configs and result rows, for editors and other programs."""

from __future__ import annotations

import json

import click


@click.command("schema")
@click.argument("what", type=click.Choice(["config", "results"]))
def command(what: str) -> None:
    """Print the JSON schema of configs or of result rows."""
    if what == "config":
        from bench.config.load import config_schema

        schema = config_schema()
    else:
        from bench.results.schema import results_schema

        schema = results_schema()
    click.echo(json.dumps(schema, indent=2))
