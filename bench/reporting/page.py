"""Puts a report into one self-contained HTML page: it opens offline, and asks nobody for anything."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources

import jinja2
import pandas as pd
import vl_convert
from markupsafe import Markup

import bench
from bench.reporting.figure import Section
from bench.reporting.report_rows import as_json
from bench.reporting.summary import Card

VEGA_LITE = "6.4"

# The shapes of theme.py as paths, for the key at the head of the page.
MARKS = {
    "circle": "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
    "square": "M-4.5 -4.5h9v9h-9z",
    "triangle-up": "M0 -5.5l5.5 10h-11z",
    "diamond": "M0 -6l5 6l-5 6l-5 -6z",
    "cross": "M-2 -6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
    "triangle-down": "M0 5.5l5.5 -10h-11z",
}


def page(rows: pd.DataFrame, title: str, cards: list[Card], sections: list[Section]) -> str:
    """Return the page. Whatever comes from a result file is escaped: as HTML, and within scripts."""
    return template().render(
        title=title,
        version=bench.__version__,
        cards=cards,
        marks=MARKS,
        sections=sections,
        count=len(rows),
        ok=int((rows["status"] == "ok").sum()),
        published=bool(rows["source"].notna().any()),
        files=int(rows["file"].nunique()),
        simulated=bool(rows["simulated"].fillna(False).any()),
        style=Markup(_own("style.css")),
        script=Markup(_own("page.js")),
        vega=vega(),
        rows=in_script(as_json(rows)),
        specs=in_script({f.name: f.spec(responsive=True) for s in sections for f in s.figures}),
    )


def template() -> jinja2.Template:
    """Return the page without its content."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_own("page.html.jinja"))


@cache
def vega() -> Markup:
    """Return the code that draws, as `vegaEmbed`, below the licenses of its parts."""
    code = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    # Within a string `\\/` is `/`, and outside of strings no code has what ends a script element.
    safe = re.sub(r"</(?=script)", r"<\\/", code, flags=re.IGNORECASE)
    return Markup(f"/*!\n{_own('vega-licenses.txt')}*/\n{safe}")


def in_script(value: object) -> Markup:
    """Return a value as JSON that cannot end the script element which it is in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _own(name: str) -> str:
    return (resources.files("bench.reporting") / name).read_text(encoding="utf-8")
