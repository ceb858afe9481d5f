"""`bench import`: result files of other benchmarks as result files of ours."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.measuring import check_names
from bench.cli.options import InputPath, OutputPath, not_empty
from bench.errors import UsageError
from bench.importers.formats import FORMATS


@click.command("import")
@click.argument("form", metavar="FORMAT", type=click.Choice(FORMATS))
@click.argument("path", metavar="FILE", type=InputPath())
@click.option("-o", "--output", type=OutputPath(), required=True, help="The file to write.")
@click.option("--force", is_flag=True, help="Replace an existing result file.")
@click.option(
    "--chip",
    callback=not_empty,
    help="The chip of all rows. [default: by the name of the device]",
)
@click.option(
    "--source",
    callback=not_empty,
    help="Who measured it, with address and version. [default: format and file]",
)
@click.option("--date", callback=not_empty, help="When it was published, such as 2026-04-14.")
def command(
    form: str,
    path: Path,
    output: Path,
    force: bool,
    chip: str | None,
    source: str | None,
    date: str | None,
) -> int:
    """Convert another benchmark's results.

    FORMAT is aiconfigurator, nvbench or xpu-perf. Measurements that none of our kernels describes are
    counted, with the reason, and left out. The rows are marked as published: what only a run of
    `bench` can know stays empty, and no interval is made up.

    \b
    bench import nvbench gemm.json -o gemm.csv
    bench import xpu-perf gemm-torch.jsonl --chip ascend-910b2 -o 910b2.csv
    """
    from bench.importers.formats import import_file
    from bench.results.writer import ResultFile

    check_names(output)
    imported = import_file(
        path, form, chip=chip, source=source or f"{form}, {path.name}", date=date
    )
    for reason, count in imported.skipped.most_common():
        click.echo(f"{path}: {count} left out: {reason}", err=True)
    if not imported.rows:
        raise UsageError(f"{path}: no measurement that a kernel of bench describes")
    with ResultFile.create(output, force=force) as file:
        for row in imported.rows:
            file.append(row)
    count = len(imported.rows)
    click.echo(f"{output}: {count} row{'s' * (count != 1)}")
    return 0
