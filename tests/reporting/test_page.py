"""The page: whole in one file, and no text of a result file is ever anything but text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.compare import compare
from bench.reporting.figure import Section, Table
from bench.reporting.page import MARKS, in_script, page, template, vega
from bench.reporting.sections import sections
from bench.reporting.summary import Card, Fact, cards
from bench.reporting.tables import every_pair, every_row, not_measured, sets_table
from bench.reporting.theme import SHAPES
from bench.results.sides import samples_behind
from tests.reporting.conftest import EVIL, OTHER

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class Elements(HTMLParser):
    """Collects the elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def comparison(sides):
    return compare(sides.frames)


@pytest.fixture(scope="module")
def text(rows, sides, comparison) -> str:
    return page(
        rows, f"Title {EVIL}", cards(rows), sections(rows, samples_behind(sides.frames), comparison)
    )


@given(JSON)
def test_data_within_a_script_stays_data(value):
    text = str(in_script(value))
    assert not set("<>&") & set(text)
    assert json.loads(text) == value


@given(st.text(st.sampled_from("<>&\"'/= abirsxt"), min_size=1))
def test_text_is_escaped_wherever_it_stands(words):
    table = Table((words,), [(words,)], caption=words)
    card = Card(
        words, words, "#000", "circle", [Fact(words, words, words, words)], [(words, words)]
    )
    plain = Table(("x",), [("x",)], caption="x")
    usual = Card("x", "x", "#000", "circle", [Fact("x", "x", "x", "x")], [("x", "x")])
    found, expected = (
        template().render(
            title=text,
            version="1",
            cards=[each, each],
            marks=MARKS,
            sections=[Section("x", text, text, tables=[rows])],
            **dict.fromkeys(("count", "ok", "files"), 1),
            **dict.fromkeys(("published", "simulated"), False),
            **dict.fromkeys(("style", "script", "vega", "rows", "specs"), ""),
        )
        for text, each, rows in ((words, card, table), ("x", usual, plain))
    )
    assert [tag for tag, _ in Elements(found).found] == [tag for tag, _ in Elements(expected).found]


def test_names_from_files_are_no_elements(text):
    elements = Elements(text)
    assert elements.named("img") == []
    assert not any("hacked" in str(attributes) for _, attributes in elements.found)
    assert text.count("<script") == 4 == text.lower().count("</script")
    assert "&lt;/script&gt;&lt;script&gt;window.hacked" in text, "shown as what it is"


def test_nothing_is_loaded(text):
    """No attribute names another place; the policy would not let one load anyway."""
    elements = Elements(text)
    for tag, attributes in elements.found:
        for name in ("src", "href", "data", "poster", "action"):
            target = attributes.get(name, "#")
            assert target.startswith(("#", "data:,")), f"<{tag} {name}={target}>"
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = (each["content"] for each in elements.named("meta") if "http-equiv" in each)
    assert "default-src 'none'" in policy


def test_the_libraries_come_with_their_licences():
    code = str(vega())
    assert code.startswith("/*!")
    for part in ("Vega-Lite, copyright 2015", "BSD 3-Clause", "ISC", "MIT"):
        assert part in code[:8000]
    assert "</script" not in code.lower()
    assert "*/" not in code[: code.index("*/\n")]


def test_every_shape_has_its_mark():
    assert set(MARKS) == set(SHAPES)


def test_links_of_the_page_lead_to_its_sections(text):
    elements = Elements(text)
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = {each["href"] for each in elements.named("a")}
    assert links <= {f"#{name}" for name in ids}
    expected = "effectiveness roofline utilization matmul moe stages energy samples rows missing"
    assert {f"#{name}" for name in expected.split()} == links


def test_a_card_says_what_a_device_is(rows):
    card = cards(rows)[1]
    facts = {fact.what: (fact.value, fact.unit, fact.note) for fact in card.facts}
    assert facts["matmul bf16"][:2] == ("2.10", "TFLOP/s")
    assert facts["matmul bf16"][2].startswith("70 % of peak · 2048×")
    assert facts["memory f32"] == ("56.0", "GB/s", "70 % of peak · copy 64 MiB")
    assert facts["moe_layer bf16"][1] == "tokens/s"
    assert card.device == OTHER.device_name
    conditions = dict(card.conditions)
    assert conditions["torch"] == "2.13.0"
    assert conditions["peak bfloat16"] == "3.00 TFLOP/s, 80.0 GB/s (data sheet of the example)"


def test_the_table_of_rows_sorts_by_numbers(rows):
    table = every_row(rows)
    assert len(table.lines) == (rows["status"] == "ok").sum()
    place = table.header.index("time")
    assert place in table.numeric
    assert [key[place] for key in table.keys] == list(
        rows.loc[rows["status"] == "ok", "time_median_s"]
    )
    assert table.lines[0][place].endswith("ms")
    assert table.filters


def test_columns_that_hold_nothing_are_not_shown(rows):
    table = every_row(rows.assign(energy_j=float("nan"), stage=None))
    assert "energy" not in table.header
    assert "stage" not in table.header


def test_the_tables_of_a_comparison_have_interval_range_and_verdict(comparison):
    pairs = every_pair(comparison)
    line = dict(zip(pairs.header, pairs.lines[0], strict=True))
    assert line["verdict"] == "faster"
    assert line["expected"] == "3.00"
    assert line["by"] == "peak"
    assert re.fullmatch(r"3\.\d\d–4\.\d\d", line["95 % interval"])
    sets = sets_table(comparison)
    line = dict(zip(sets.header, sets.lines[-1], strict=True))
    assert line["set of cases"] == "all: every case that both have (bf16, f32 mixed)"
    assert line["range"] == "2.24–4.20"
    assert line["verdicts"] == "9 faster"


def test_what_was_not_measured_and_why(rows, comparison):
    table = not_measured(rows, comparison)
    (line,) = (line for line in table.lines if line[2] == "unsupported")
    assert line == ("chip-b", "matmul f64 64×64×64", "unsupported", f"no {EVIL}")
    beyond = not_measured(rows.assign(utilization=1.5), None)
    assert "faster than the device's peak allows" in beyond.lines[-1][3]


def test_a_case_without_a_partner_is_listed(sides):
    fewer = sides.frames["chip-b"].iloc[1:]
    found = compare({"chip-a": sides.frames["chip-a"], "chip-b": fewer})
    table = not_measured(sides.frames["chip-a"].assign(side="chip-a", case="x"), found)
    assert (
        "chip-a",
        "matmul bf16 2048×2048×2048",
        "not compared",
        "chip-b has no such case",
    ) in table.lines


def test_sections_without_anything_are_among_what_is_missing(rows):
    bare = rows[rows["kernel"] == "memory"].assign(
        energy_j=float("nan"), ceiling_gbps=float("nan"), ceiling_tflops=float("nan")
    )
    found = {section.name: section for section in sections(bare, {}, None)}
    assert list(found) == ["utilization", "rows", "missing"]
    lacking = dict(found["missing"].tables[0].lines)
    assert "bench run matmul" in lacking["Matrix products"]
    assert "--stages" in lacking["Stages of the layer"]
    assert {"Roofline", "Energy", "Samples", "Ceilings"} <= set(lacking)
