"""YAML: lines are remembered, and what could do harm is refused in a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.yaml_files.source import parse_yaml, read_yaml


def test_values_and_lines():
    source = parse_yaml("a: 1\nb:\n  - x\n  - c: 2.5\n    d: [true, null]\n", "f.yaml")
    assert source.data == {"a": 1, "b": ["x", {"c": 2.5, "d": [True, None]}]}
    assert source.line(("b", 1, "c")) == 4
    assert source.line(("b", 1, "nowhere", "at", "all")) == 4
    assert source.complain(("b", 1, "d"), "odd") == "f.yaml:5: b[1].d: odd"


BAD = {
    "malformed": ("a: [1, 2", "f.yaml:1: column 9: malformed YAML"),
    "tab": ("a:\n\t- 1", "f.yaml:2"),
    "object tag": ("a: !!python/object:os.system {}", "the tag !!python/object:os.system"),
    "apply tag": ("a: !!python/object/apply:os.system ['true']", "is not allowed"),
    "own tag": ("a: !x 1", "the tag !x"),
    "date": ("a: 2025-01-01", "f.yaml:1: a: a date is not allowed; put text in quotes"),
    "twice": ("a: 1\na: 2", "f.yaml:2: a: the key appears twice"),
    "complex key": ("[1, 2]: 3", "a key must be a plain word"),
    "self": ("a: &a [*a]", "an alias that contains itself"),
    "unknown alias": ("a: *b", "malformed YAML"),
    "empty": ("# nothing\n", "the file is empty"),
    "two documents": ("a: 1\n---\nb: 2", "malformed YAML"),
    "octal": ("m: 0100", "f.yaml:1: m: 0100 means different numbers to different readers"),
    "octal in a list": ("m: [1, -007]", "m[1]: -007 means different"),
    "base 60": ("m: 1:30", "m: 1:30 means different"),
    "fraction of base 60": ("m: 1:30.5", "m: 1:30.5 means different"),
    "underscores": ("m: 1_000", "m: 1_000 means different"),
    "binary": ("m: 0b11", "m: 0b11 means different"),
    "switch": (
        "m: yes",
        "m: yes is text to some readers of YAML and a boolean to others; write true",
    ),
    "switch in a list": ("m: [1, Off]", "m[1]: Off is text to some"),
    "digits": (f"m: 0x{'f' * 5000}", "m: '0xfff"),
    "decimal digits": (f"m: {'9' * 5000}", "… cannot be read as !!int"),
    "merge key": ("a: &a {x: 1}\nb: {<<: *a, y: 2}", "f.yaml:2: b: merge keys (<<) are not read"),
    "line end in a key": ('"a\\r": !x 1', "f.yaml:1: 'a\\r': the tag !x"),
    "empty key": ('"": !x 1', "f.yaml:1: '': the tag !x"),
    "control": ("a: \x01", "malformed YAML"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name):
    text, message = BAD[name]
    with pytest.raises(UsageError) as error:
        parse_yaml(text, "f.yaml")
    assert message in str(error.value)


def test_numbers_that_everybody_reads_alike():
    text = "[0, -0, 10, 0x10, 0.5, 00.5, '0100', '1:30', '1_000', 'yes', 1e3]"
    values = [0, 0, 10, 16, 0.5, 0.5, "0100", "1:30", "1_000", "yes", "1e3"]
    assert parse_yaml(text, "f.yaml").data == values


def test_a_long_value_is_shortened_in_messages():
    with pytest.raises(UsageError) as error:
        parse_yaml(f"m: 0x{'f' * 5000}", "f.yaml")
    assert str(error.value).endswith("f… has too many digits for any value here")
    assert len(str(error.value)) < 200


def test_all_problems_at_once():
    with pytest.raises(UsageError) as error:
        parse_yaml("a: !x 1\nb: 2025-01-01\nb: 3\n", "f.yaml")
    assert [line.split(": ")[0] for line in str(error.value).splitlines()] == [
        "f.yaml:1",
        "f.yaml:2",
        "f.yaml:3",
    ]


def test_an_alias_bomb_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(UsageError, match="more than 200,000 values"):
        parse_yaml("\n".join(lines), "f.yaml")


def test_deep_nesting_is_refused():
    with pytest.raises(UsageError):
        parse_yaml("[" * 100_000, "f.yaml")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is not a regular file"),
        (lambda path: path.write_bytes(b"a: \xff\xfe"), ":1: not UTF-8"),
        (lambda path: path.write_bytes(b" " * (5 << 20)), "larger than 1 MiB"),
    ],
)
def test_files_that_are_none(tmp_path, make, message):
    path = tmp_path / "c.yaml"
    make(path)
    with pytest.raises(UsageError, match=message):
        read_yaml(path)


@given(st.text(max_size=200))
def test_any_text_gives_values_or_a_sentence(text):
    try:
        parse_yaml(text, "f.yaml")
    except UsageError as error:
        assert str(error)
