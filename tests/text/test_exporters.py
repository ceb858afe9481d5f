"""The same document in every format."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from bench.text.document import Continued, Document, Heading, Lines, Sections, Table, TableColumn
from bench.text.exporters import EXPORTERS, export

COLUMNS = [
    TableColumn("case", "left", wraps=True),
    TableColumn("time", from_width=100),
    TableColumn("verdict"),
]
ROWS = [["a|b", "1 ms", "same"], ["<c>", "2 ms", "slower"]]


def exported(form: str, document: Document) -> str:
    stream = io.StringIO()
    export(document, form, stream)
    return stream.getvalue()


def blocks():
    yield Heading("x_1 against `y`")
    yield Table(COLUMNS, ROWS, title="cases", styles={"slower": "red"})
    yield Table(COLUMNS, [], title="never seen")
    yield Lines(["one note"], role="notes")


@pytest.mark.parametrize(("width", "times"), [("80", False), ("120", True)])
def test_a_terminal_shows_the_columns_that_fit(monkeypatch, width, times):
    monkeypatch.setenv("COLUMNS", width)
    output = exported("table", Document(blocks()))
    lines = [line.rstrip() for line in output.splitlines()]
    assert lines[:3] == ["x_1 against `y`", "", "cases"]
    assert ("1 ms" in output) == ("time" in output) == times
    assert lines[-1] == "one note"
    assert "never seen" not in output


def test_plain_lines_are_not_wrapped(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    line = "word " * 30
    assert exported("table", Document([Lines([line])])) == f"{line}\n"


def test_an_empty_table_with_a_text():
    output = exported("table", Document([Table(COLUMNS, [], if_empty="none")]))
    assert [line.split() for line in output.splitlines()] == [["case", "verdict"], ["none"]]


def test_markdown_escapes_what_would_be_markup():
    assert exported("markdown", Document(blocks())) == (
        "### x_1 against \\`y\\`\n\n"
        "| case | time | verdict |\n| :-- | --: | --: |\n"
        "| a\\|b | 1 ms | same |\n| &lt;c&gt; | 2 ms | slower |\n\n"
        "- one note\n"
    )


def sections():
    rows = [["layer 16", "1 ms"], [Continued("layer 16, gate", "gate"), "2 ms"]]
    columns = [TableColumn("case", "left", wraps=True), TableColumn("time")]
    return Sections(columns, {"moe_layer bf16": rows, "matmul bf16": [["64×64", "3 ms"]]})


def test_sections_are_one_table_on_a_terminal():
    lines = exported("table", Document([sections()])).splitlines()
    assert [line.rstrip() for line in lines] == [
        "case           time",
        "moe_layer bf16",
        " layer 16      1 ms",
        "   gate        2 ms",
        "matmul bf16",
        " 64×64         3 ms",
    ]


def test_titles_of_sections_may_have_a_column():
    block = replace(sections(), title_column=True)
    lines = exported("table", Document([block])).splitlines()
    assert [line.split() for line in lines] == [
        ["case", "time"],
        ["moe_layer", "bf16", "layer", "16", "1", "ms"],
        ["gate", "2", "ms"],
        ["matmul", "bf16", "64×64", "3", "ms"],
    ]


def test_sections_are_tables_in_markdown_with_full_cells():
    assert exported("markdown", Document([sections()])) == (
        "### moe_layer bf16\n\n| case | time |\n| :-- | --: |\n"
        "| layer 16 | 1 ms |\n| layer 16, gate | 2 ms |\n\n"
        "### matmul bf16\n\n| case | time |\n| :-- | --: |\n| 64×64 | 3 ms |\n"
    )


def test_a_lead_is_paragraphs_in_markdown():
    assert exported("markdown", Document([Lines(["a", "b"], role="lead")])) == "a\n\nb\n"
    assert exported("table", Document([Lines(["a", "b"], role="lead")])) == "a\nb\n"


def test_csv_has_no_formulas_and_empty_cells_for_unknown_values():
    records = [["name", "ratio", "known"], ["=1+1", 0.1, True], ["a,b", None, False]]
    text = exported("csv", Document(records=records))
    header, first, second = csv.reader(io.StringIO(text, newline=""))
    assert header == ["name", "ratio", "known"]
    assert not first[0].startswith("=") and first[1:] == ["0.1", "true"]
    assert second == ["a,b", "", "false"]


def test_json_has_null_for_nan_and_infinity():
    data = {"a": (1, float("nan"), np.float64("inf")), "b": np.int64(3), "c": {"d": None, 5: "µ"}}
    text = exported("json", Document(data=lambda: data))
    assert json.loads(text) == {"a": [1, None, None], "b": 3, "c": {"d": None, "5": "µ"}}
    assert "µ" in text


def test_only_the_chosen_format_is_computed():
    def fail():
        raise AssertionError("not asked for")
        yield

    for form in EXPORTERS:
        parts = {"blocks": fail(), "records": fail(), "data": lambda: next(fail())}
        wanted = {"csv": "records", "json": "data"}.get(form, "blocks")
        parts.pop(wanted)
        exported(form, Document(**parts))
