"""`bench show` and `bench compare` on bad result files: a message, exit code 2, nothing written."""

from __future__ import annotations

import csv
import io
import json
import os

import pytest
from markdown_it import MarkdownIt

from bench.errors import InputWarning
from tests.results.bad_files import READ, REFUSED, cell, sound
from tests.results.conftest import make_row

COMMANDS = {"show": ["show", "bad.csv"], "compare": ["compare", "good.csv", "bad.csv"]}
FORMATS = ["table", "markdown", "csv", "json"]

HTML = "<script>alert(1)</script> | [red]*chip*[/red] [x](javascript:alert(1))"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "good.csv").write_bytes(sound())
    (tmp_path / "bad.csv").write_bytes(sound())
    return tmp_path


def spoil(folder, change):
    path = folder / "bad.csv"
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("command", "name"),
    # A comparison does not read dates.
    [(c, n) for c in COMMANDS for n in REFUSED if (c, n) != ("compare", "a local date")],
)
def test_it_is_refused(files, invoke, command, name, capfd):
    spoil(files, REFUSED[name][0])
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    message = invoke(*COMMANDS[command], status=2)
    assert message.startswith("bad.csv: ")
    assert {path.name: path.read_bytes() for path in files.iterdir()} == before
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.filterwarnings("ignore::bench.errors.InputWarning")
def test_it_is_read_with_a_warning(files, invoke, command, name):
    expected = invoke(*COMMANDS[command])
    spoil(files, READ[name][0])
    assert invoke(*COMMANDS[command]) == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_a_warning_is_a_sentence(bench, command):
    (bench.folder / "good.csv").write_bytes(sound())
    (bench.folder / "bad.csv").write_bytes(sound()[:-100])
    done = bench(*COMMANDS[command])
    assert done.stderr == "bench: warning: bad.csv: line 4: cut off before its end; left out\n"
    assert done.stdout


def test_a_mistake_is_a_sentence(bench):
    (bench.folder / "bad.csv").write_bytes(cell("time_median_s", "\x1b[31mfast")(sound()))
    done = bench("show", "bad.csv", status=2)
    assert done.stderr.startswith("bench: bad.csv: line 2: time_median_s: expected a finite number")
    assert "\x1b" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "＝"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_formula_is_neutralized_on_export(files, invoke, command, start):
    changes = {"chip": f"{start}cmd()", "implementation": f"{start}cmd()"}
    rows = [make_row(64, **changes), make_row(65, device_name=f"{start}cmd()", **changes)]
    (files / "bad.csv").write_bytes(sound(*rows).replace(b"'" + start.encode(), start.encode()))
    text = invoke(*COMMANDS[command], "--format", "csv")
    cells = [value for row in csv.reader(io.StringIO(text, newline="")) for value in row]
    formulas = [value for value in cells if value.endswith("cmd()")]
    assert formulas
    assert all(value.startswith("'") for value in formulas)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("form", FORMATS)
def test_html_and_markup_are_only_texts(files, invoke, command, form):
    rows = [make_row(64, device_name=HTML, chip=HTML, implementation=HTML)]
    (files / "bad.csv").write_bytes(sound(*rows))
    output = invoke(*COMMANDS[command], "--format", form)
    if form == "markdown":
        assert "&lt;script&gt;alert(1)&lt;/script&gt; \\| \\[red\\]\\*chip" in output
        html = MarkdownIt("commonmark").enable("table").render(output)
        assert "<script" not in html
        assert "<a " not in html
    elif form == "json":
        assert HTML in json.dumps(json.loads(output))
    else:
        assert "".join(HTML.split()) in "".join(output.split())


def test_a_folder_of_other_files(files, invoke):
    (files / "good.csv").unlink()
    (files / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.warns(InputWarning):
        assert "none of the 1 .csv files" in invoke("show", files, status=2)
    (files / "bad.csv").unlink()
    assert "no .csv file in this folder" in invoke("show", files, status=2)


@pytest.mark.parametrize("command", COMMANDS)
def test_two_gigabytes(files, invoke, command):
    os.truncate(files / "bad.csv", 2 << 30)
    assert "line 5 is no text" in invoke(*COMMANDS[command], status=2)
