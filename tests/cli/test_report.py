"""`bench report` as a user runs it: output, refusals, and that no file is lost."""

from __future__ import annotations

import pytest

from tests.reporting.conftest import BASE, CASES, OTHER, write


@pytest.fixture
def files(tmp_path):
    return [write(tmp_path, chip, cases=CASES[:2]) for chip in (BASE, OTHER)]


def test_a_page_by_default(files, invoke):
    assert invoke("report", "chip-a.csv", "chip-b.csv") == "report.html\n"
    assert "chip-a and chip-b" in (invoke.folder / "report.html").read_text(encoding="utf-8")


def test_only_pictures(files, invoke):
    paths = invoke("report", ".", "--svg", "pictures").splitlines()
    assert "pictures/effectiveness.svg" in paths
    assert all((invoke.folder / path).exists() for path in paths)
    assert not (invoke.folder / "report.html").exists()


def test_a_folder_and_a_glob_are_results_too(files, invoke):
    invoke("report", "*.csv", "-o", "a.html")
    invoke("report", ".", "-o", "b.html")
    pages = [(invoke.folder / name).read_text(encoding="utf-8") for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]


def test_an_existing_page_is_kept(files, invoke):
    invoke("report", "chip-a.csv")
    message = invoke("report", "chip-a.csv", status=2)
    assert message == "report.html exists: --force replaces it, another name keeps it"
    invoke("report", "chip-a.csv", "--force")


def test_a_result_file_is_not_replaced_by_its_report(files, invoke):
    (invoke.folder / "link.html").hardlink_to(files[1])
    before = [file.read_bytes() for file in files]
    for output in ("chip-a.csv", "../" + invoke.folder.name + "/chip-b.csv", "link.html"):
        message = invoke("report", ".", "-o", output, "--force", status=2)
        assert "is one of the files to report about" in message
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a result file, such as results/local/smoke.csv"),
        (["none.csv"], "none.csv: no such file"),
        (["empty.csv"], "empty.csv"),
        (["prices.csv"], "prices.csv"),
        (["chip-a.csv", "--base", "chip-z"], "no device 'chip-z'"),
        (["chip-a.csv", "--claims", "2025-05-podcas"], "did you mean"),
        (["chip-a.csv", "chip-a.csv"], "is there twice; name each file once"),
    ],
)
def test_bad_input_writes_nothing(files, invoke, arguments, message):
    (invoke.folder / "empty.csv").write_text("")
    (invoke.folder / "prices.csv").write_text("name,price\nh100,2.99\n")
    before = sorted(invoke.folder.rglob("*"))
    assert message in invoke("report", *arguments, status=2)
    assert sorted(invoke.folder.rglob("*")) == before


def test_a_cut_off_line_is_a_warning(files, bench):
    path = bench.folder / "chip-a.csv"
    path.write_bytes(path.read_bytes()[:-40])
    done = bench("report", "chip-a.csv")
    assert done.stderr.startswith("bench: warning: chip-a.csv: ")
    assert done.stdout == "report.html\n"
