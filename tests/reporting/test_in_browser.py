"""The page as a reader has it: in a browser, offline, with everything drawn and working."""

from __future__ import annotations

import json

import pytest

from bench.reporting.report import report
from tests.reporting.browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not here to open the page: apt-get install chromium"
)

CHARTS = (
    "effectiveness",
    "roofline-bfloat16",
    "roofline-float32",
    "utilization-peak",
    "utilization-ceiling",
    "matmul-bfloat16",
    "matmul-float32",
    "moe-tiny-moe-bf16-decode",
    "moe-tiny-moe-bf16-prefill",
    "stages",
    "energy",
    "samples",
)


@pytest.fixture(scope="module")
def page(files, tmp_path_factory):
    return report(files, tmp_path_factory.mktemp("page") / "report.html", claims="2025-05-podcast")[
        0
    ]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def opened(browser, page):
    """The page, freshly opened in a window of a usual size."""
    browser.look(width=1280)
    browser.open(page)
    return browser


def table(section: str) -> str:
    """The last table of a section, as a JavaScript expression."""
    return f"[...document.querySelectorAll('#{section} .wide-table')].at(-1)"


def type_filter(words: str, section: str = "rows") -> str:
    return f"""(() => {{
        const input = {table(section)}.querySelector('input');
        input.value = {json.dumps(words)};
        input.dispatchEvent(new Event('input', {{ bubbles: true }}));
    }})()"""


def shown(column: int, section: str = "rows") -> str:
    return f"""[...{table(section)}.querySelectorAll('tbody tr')].filter((row) => !row.hidden)
        .map((row) => row.cells[{column}].textContent)"""


def press(column: int, section: str = "rows") -> str:
    return f"{table(section)}.querySelectorAll('th button')[{column}].click()"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_everything_is_drawn_and_nothing_is_fetched(browser, page, width, dark):
    browser.look(width=width, dark=dark)
    browser.open(page)
    assert browser.requests == [page.as_uri()]
    assert browser.complaints == []
    marks = browser.run("""Object.fromEntries([...document.querySelectorAll('.chart')].map((chart) => [
        chart.dataset.spec,
        [...chart.querySelectorAll('svg [role=graphics-symbol]')].filter((mark) => {
            const { width, height } = mark.getBoundingClientRect();
            return width > 0 || height > 0;
        }).length,
    ]))""")
    assert set(marks) == set(CHARTS)
    assert all(count > 0 for count in marks.values()), marks
    widths = browser.run("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1], "the page does not scroll sideways"


def test_dark_pages_have_light_ink(browser, page):
    ink = {}
    for dark in (False, True):
        browser.look(width=1280, dark=dark)
        browser.open(page)
        ink[dark] = browser.run(
            "['body', '#chart-energy svg text[fill]'].map((name) => "
            "getComputedStyle(document.querySelector(name)))"
            ".map((style, place) => [style.color, style.fill][place])"
        )
    assert all(light != dark for light, dark in zip(ink[False], ink[True], strict=True))


def test_what_a_file_says_does_not_run(opened):
    assert opened.run("window.hacked") is None
    assert opened.run("document.querySelectorAll('img').length") == 0
    assert "window.hacked = 1" in opened.run("document.body.innerText")


def test_the_table_filters(opened):
    everything = len(opened.run(shown(1)))
    opened.run(type_filter("CHIP-B matmul"))
    devices, cases = opened.run(shown(0)), opened.run(shown(1))
    assert 0 < len(cases) < everything
    assert set(devices) == {"chip-b"}
    assert all(case.startswith("matmul") for case in cases)
    output = f"{table('rows')}.querySelector('output').textContent"
    assert opened.run(output) == f"{len(cases)} of {everything} rows"
    opened.run(type_filter("nothing is called this"))
    assert opened.run(shown(1)) == []
    opened.run(type_filter(""))
    assert len(opened.run(shown(1))) == everything


def test_the_table_of_pairs_filters_by_itself(opened):
    everything = len(opened.run(shown(1)))
    opened.run(type_filter("memory", "effectiveness"))
    assert opened.run(shown(1, "effectiveness")) == ["memory f32 copy 64 MiB"]
    assert len(opened.run(shown(1))) == everything


def test_the_table_sorts_by_number_and_by_text(opened):
    headings = opened.run(
        f"[...{table('rows')}.querySelectorAll('th')].map((each) => each.textContent)"
    )
    keys = f"""[...{table("rows")}.querySelectorAll('tbody tr')]
        .map((row) => row.cells[{headings.index("tokens/s")}].dataset.key ?? null)"""
    for sign in (1, -1):
        opened.run(press(headings.index("tokens/s")))
        cells = opened.run(keys)
        known = [sign * float(key) for key in cells if key is not None]
        assert known == sorted(known)
        assert None not in cells[: len(known)], "unknown comes last both ways"
    opened.run(press(headings.index("case")))
    cases = opened.run(shown(headings.index("case")))
    assert cases[0].startswith("matmul")
    assert cases[-1].startswith("moe_layer")
    pressed = opened.run(f"{table('rows')}.querySelectorAll('[aria-sort]').length")
    assert pressed == 1


def test_a_mark_shows_every_column_of_its_row(opened):
    mark = "document.querySelector('#chart-roofline-bfloat16 .mark-symbol path')"
    opened.run(f"{mark}.scrollIntoView({{ block: 'center', behavior: 'instant' }})")
    place = opened.run(
        f"(({{ x, y, width, height }}) => [x + width / 2, y + height / 2])"
        f"({mark}.getBoundingClientRect())"
    )
    for shift in (3, 0):
        opened.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0] + shift, y=place[1])
    tip = opened.run("document.getElementById('tip').hidden || tip.innerText")
    for column in ("side", "case", "implementation", "achieved_tflops", "peak_source", "params"):
        assert column in tip
    bottom = opened.run("document.getElementById('tip').getBoundingClientRect().bottom")
    assert bottom <= 900, "the whole of it is on the screen"


def test_it_prints(opened):
    printed = opened.call("Page.printToPDF", printBackground=False)["data"]
    assert len(printed) > 50_000
    opened.call("Emulation.setEmulatedMedia", media="print")
    try:
        hidden = "getComputedStyle(document.querySelector('nav')).display"
        assert opened.run(hidden) == "none"
        tall = "document.querySelector('#rows .scroll')"
        assert opened.run(f"{tall}.scrollHeight <= {tall}.clientHeight + 1"), "no row is cut off"
    finally:
        opened.call("Emulation.setEmulatedMedia", media="")
