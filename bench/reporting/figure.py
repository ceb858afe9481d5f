"""What a report is made of: sections with figures and tables, or a word on why they are empty."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import altair as alt

from bench.reporting.theme import CONFIG, HEIGHT, WIDTH

# Columns of sentences, or of what is nearly as long.
LONG = (
    "case",
    "cases",
    "set of cases",
    "warnings",
    "reason",
    "read as",
    "rests on",
    "why it is not here",
)

Chart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart


@dataclass(frozen=True)
class Figure:
    """A chart with a title; `name` is its file's name, and its place in the page."""

    name: str
    title: str
    chart: Chart
    height: int = HEIGHT
    wide: bool = True

    def spec(self, *, responsive: bool) -> dict[str, Any]:
        """Return the Vega-Lite specification: as wide as its place in a page, or for a picture.

        The page has one key of the sides for all charts, a picture a legend of its own.
        """
        width: Any = "container" if responsive else WIDTH
        chart = self.chart.properties(width=width, height=self.height)
        with alt.data_transformers.enable("default", max_rows=None):
            spec: dict[str, Any] = chart.to_dict()
        if responsive:
            fit = {"type": "fit-x", "contains": "padding"}
            bare: dict[str, Any] = _without_key_of_sides(spec)
            return {**bare, "config": CONFIG, "autosize": fit}
        return {
            **spec,
            "config": {**CONFIG, "background": "white", "padding": 16},
            "title": self.title,
        }


@dataclass(frozen=True)
class Table:
    """A table of text; numbers that sort differently from their text are given beside it."""

    header: tuple[str, ...]
    lines: list[tuple[str, ...]]
    keys: list[tuple[object, ...]] = field(default_factory=list)
    numeric: frozenset[int] = frozenset()
    filters: bool = False
    caption: str = ""

    def style(self, place: int) -> str:
        """Return the class of a column's cells: numbers stand right, sentences need room."""
        if place in self.numeric:
            return "number"
        return "long" if self.header[place] in LONG else "short"


@dataclass(frozen=True)
class Section:
    """A heading, what one sees below it, and `empty`: why there is nothing, where that is so."""

    name: str
    title: str
    lead: str
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    empty: str = ""


def _without_key_of_sides(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_key_of_sides(item) for item in part]
    if not isinstance(part, dict):
        return part
    # What a result file says is data, and stays as it is.
    encoding = {
        key: value if key == "datasets" else _without_key_of_sides(value)
        for key, value in part.items()
    }
    if encoding.get("field") == "side" and "legend" in encoding:
        encoding["legend"] = None
    return encoding


def with_distinct_names(sections: Iterable[Section]) -> list[Section]:
    """Return the sections with names of figures that fit a file and an HTML id, each only once.

    Names may have come from a result file: whatever they say, no two figures end in one file.
    """
    taken: set[str] = set()

    def distinct(figure: Figure) -> Figure:
        plain = re.sub(r"[^a-z0-9]+", "-", figure.name.lower()).strip("-")[:80] or "figure"
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name)
        return replace(figure, name=name)

    return [
        replace(each, figures=[distinct(figure) for figure in each.figures]) for each in sections
    ]
