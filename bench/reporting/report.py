"""From result files to a page and pictures; nothing is written before everything is ready."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.compare import compare
from bench.errors import UsageError, one_of
from bench.reporting.figure import Section, with_distinct_names
from bench.reporting.files import write_all
from bench.reporting.page import VEGA_LITE, page
from bench.reporting.rows import prepare
from bench.reporting.sections import sections
from bench.reporting.summary import cards
from bench.results.load import Paths
from bench.results.sides import load_sides, samples_behind

if TYPE_CHECKING:
    import pandas as pd


def report(
    results: Paths,
    output: Path | str | None = None,
    *,
    png: Path | str | None = None,
    svg: Path | str | None = None,
    title: str | None = None,
    base: str | None = None,
    claims: str | None = None,
    simulated: bool = False,
    force: bool = False,
) -> list[Path]:
    """Write a page about result files to `output`, and its charts into the folders `png` and `svg`.

    `results` are files, folders or globs; their devices are told apart as `bench compare` does. `base`
    is the device that others are held against, by default the first. `claims` is a file of claims, or
    the name of a shipped one, whose verdicts the page then has. Returns what was written. Raises
    UsageError for results that cannot be shown, for files that are there already unless `force`, and
    for places that cannot be written to; then nothing is written.
    """
    paths = [results] if isinstance(results, (str, Path)) else list(results)
    sides = load_sides(paths)
    name = {label: _marked(label, frame, simulated) for label, frame in sides.frames.items()}
    frames = {name[label]: frame for label, frame in sides.frames.items()}
    samples = samples_behind(frames)
    if base is not None and base not in name:
        raise UsageError(f"no device {base!r} in these files{one_of(base, name)}")
    rows = prepare(frames)
    comparison = None
    if len(frames) > 1:
        chosen = name[base] if base is not None else None
        comparison = compare(frames, base=chosen, simulated=simulated)
    content = sections(rows, samples, comparison)
    if claims is not None:
        content.insert(-2, _claims(claims, paths, simulated))
    content = with_distinct_names(content)
    files: dict[Path, bytes] = {}
    if output is not None:
        heading = title or _heading(list(frames))
        files[Path(output)] = page(rows, heading, cards(rows), content).encode()
    for folder, kind in ((png, "png"), (svg, "svg")):
        if folder is not None:
            files |= {Path(folder) / file: data for file, data in pictures(content, kind).items()}
    inputs = [Path(file) for frame in frames.values() for file in frame["file"].unique()]
    inputs += [Path(claims)] if claims is not None else []
    for path in files:
        if path.exists() and any(path.samefile(file) for file in inputs if file.exists()):
            raise UsageError(f"{path} is one of the files to report about: name another with -o")
    write_all(files, force=force)
    return list(files)


def pictures(content: Iterable[Section], kind: str) -> Mapping[str, bytes]:
    """Return each chart as a PNG or SVG by its file's name, drawn without a browser or network."""
    import vl_convert

    drawn: dict[str, bytes] = {}
    for section in content:
        for figure in section.figures:
            spec = figure.spec(responsive=False)
            if kind == "png":
                data = vl_convert.vegalite_to_png(
                    spec, vl_version=VEGA_LITE, scale=2, allowed_base_urls=[]
                )
            else:
                data = vl_convert.vegalite_to_svg(
                    spec, vl_version=VEGA_LITE, allowed_base_urls=[]
                ).encode()
            drawn[f"{figure.name}.{kind}"] = data
    return drawn


def _marked(label: str, frame: pd.DataFrame, simulated: bool) -> str:
    """Return the label, which says so where rows are simulated. Raises UsageError if they must not be."""
    count = int(frame["simulated"].fillna(False).sum())
    if count and not simulated:
        file = frame.loc[frame["simulated"].fillna(False).astype(bool), "file"].iloc[0]
        raise UsageError(
            f"{file}: {count} of {len(frame)} rows are simulated, and no measurements; --simulated shows "
            "them, marked as such"
        )
    return f"SIMULATED {label}" if count else label


def _heading(names: list[str]) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} others"
    return " and ".join(names)


def _claims(name: str, paths: Iterable[Path | str], simulated: bool) -> Section:
    from bench.analysis.evidence import given_rows
    from bench.claims.judge import judge
    from bench.claims.load import chips_named, load_claims
    from bench.reporting.claims import claims_section
    from bench.results.published import published_rows

    claims = load_claims(name)
    given = given_rows(paths, simulated=simulated)
    return claims_section(claims, judge(claims, published_rows(chips_named(claims)) + given))
