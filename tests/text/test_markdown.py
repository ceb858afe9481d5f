"""Values in Markdown, rendered by a parser of its own: a text is a text, and nothing else."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.text.document import Document, Heading, Lines, Table, TableColumn
from bench.text.exporters import export
from bench.text.format import printable
from bench.text.markdown import fenced

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])

HOSTILE = [
    "[x](javascript:alert(1))",
    "![x](https://example.com/pixel.png)",
    "[x]: javascript:alert(1)",
    "<javascript:alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<!-- hidden",
    "a|b",
    "a\\|b",
    "`code` ``two``",
    "*bold* **strong** _it_ __init__ ~~gone~~",
    "# heading #",
    "- item",
    "1. item",
    "2) item",
    "+ item",
    "===",
    "---",
    "> quote",
    "&amp; &#91;x&#93;(javascript:alert(1))",
    "two\nlines\n\n# and a heading",
    "\\",
    "\\\\[x](y)",
    "$a$ ```",
    "\x1b[31mred",
]
any_text = st.sampled_from(HOSTILE) | st.text(st.sampled_from("[](){}!<>|\\`*_~#+-=.1&;:$ \nab"))


def rendered(text: str) -> str:
    return " ".join(printable(text).split())


def texts_of(tokens) -> list[str]:
    """The texts of a parsed page; fail if anything but text is within its blocks."""
    texts = []
    for token in tokens:
        if token.type == "inline":
            assert {child.type for child in token.children} <= {"text", "text_special"}, token
            texts.append("".join(child.content for child in token.children))
        assert not token.type.startswith(("html", "fence", "code")), token
    return texts


def parsed(*blocks):
    stream = io.StringIO()
    export(Document(blocks), "markdown", stream)
    return PARSER.parse(stream.getvalue())


@given(any_text)
def test_a_cell(text):
    columns = [TableColumn(title, "left") for title in ("a", "b", "c")]
    tokens = parsed(Table(columns, [[text, "1", text]]))
    assert sum(token.type == "td_open" for token in tokens) == 3
    assert texts_of(tokens)[3:] == [rendered(text), "1", rendered(text)]


@given(any_text.filter(lambda text: text.strip()))
def test_a_heading_and_lines(text):
    tokens = parsed(Heading(text), Lines([text], role="lead"), Lines([text, text], role="notes"))
    opened = [token.type for token in tokens if token.type.endswith("_open")]
    items = ["list_item_open", "paragraph_open"] * 2
    assert opened == ["heading_open", "paragraph_open", "bullet_list_open", *items]
    assert texts_of(tokens) == [rendered(text)] * 4


@pytest.mark.parametrize("line", ["bench run", "```\n# x", "``````", "a\nb"])
def test_a_command_stays_in_its_block(line):
    (token,) = PARSER.parse(fenced([line], "sh"))
    assert (token.type, token.info) == ("fence", "sh")
    assert token.content == f"{printable(line)}\n"


def test_names_are_readable_in_the_source():
    stream = io.StringIO()
    export(Document([Lines(["moe_layer (torch.mm) 64×64, -5 %"], role="lead")]), "markdown", stream)
    assert stream.getvalue() == "moe_layer (torch.mm) 64×64, -5 %\n"
