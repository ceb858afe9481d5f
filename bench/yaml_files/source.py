"""Reads YAML into plain values with the line of each, and rejects what could do harm.

Only plain types are allowed: no tags, no objects, no dates. Aliases are allowed up to a bound on the
number of values, so that a small file cannot expand into a huge one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.errors import UsageError

LARGEST_BYTES = 1 << 20
MOST_VALUES = 200_000
LONGEST_QUOTE = 80

KeyPath = tuple[str | int, ...]

_PREFIX = "tag:yaml.org,2002:"
_SCALARS = {_PREFIX + name for name in ("str", "int", "float", "bool", "null")}
# Numbers of YAML 1.1 that YAML 1.2 reads as text or as other numbers: with a leading zero (octal), colons
# (base 60), a binary prefix or underscores.
_AMBIGUOUS = re.compile(
    r"[-+]?(?:0[0-9_]+|0b[01_]+|[0-9][0-9_]*(?::[0-9]+)+(?:\.[0-9_]*)?|[0-9][0-9.]*_[0-9_.]*|0x\w*_\w*)"
)
# Words that are booleans in YAML 1.1 and text in YAML 1.2.
_SWITCHES = {"yes", "no", "on", "off"}
# No number in such a file needs more; Python refuses to print far longer ones.
_MOST_BITS = 1024


@dataclass(frozen=True)
class Source:
    """A YAML document: its values, and the line number of each, from one."""

    name: str
    data: Any
    lines: dict[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """Look up the line of a value, or of the innermost known value that contains it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def complain(self, path: KeyPath, text: str) -> str:
        """Prefix a message with its place: `a.yaml:12: kernels[1].top_k: …`."""
        where = key_text(path)
        return f"{self.name}:{self.line(path)}: {where + ': ' if where else ''}{text}"


def key_text(path: KeyPath) -> str:
    """Format a path for messages: kernels[1].top_k."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = shortened(step) if step.isprintable() and step else brief(step)
            text += f".{name}" if text else name
    return text


def read_yaml(path: Path) -> Source:
    """Read a file. Raises UsageError with one line per problem."""
    name = str(path)
    if not path.exists():
        raise UsageError(f"{name}: no such file")
    if not path.is_file():
        raise UsageError(f"{name}: is not a regular file; expected a YAML file")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror}") from None
    if len(content) > LARGEST_BYTES:
        raise UsageError(
            f"{name}: larger than {LARGEST_BYTES >> 20} MiB, the limit for such a file"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UsageError(f"{name}:{line}: not UTF-8; save the file as UTF-8") from None
    return parse_yaml(text, name)


def parse_yaml(text: str, name: str) -> Source:
    """Parse `text`; `name` is the file in messages. Raises UsageError with one line per problem."""
    try:
        # Not the C loader: its recursion is unbounded, so deep nesting would crash the process.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{mark.line + 1}: column {mark.column + 1}" if mark else "1"
        raise UsageError(f"{name}:{where}: malformed YAML: {error.problem}") from None
    except RecursionError:
        raise UsageError(f"{name}: malformed YAML: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{name}: malformed YAML: {' '.join(str(error).split())}") from None
    if root is None:
        raise UsageError(f"{name}: the file is empty; docs/config.md describes its contents")
    builder = _Builder(name)
    data = builder.value(root, ())
    if builder.problems:
        raise UsageError("\n".join(builder.problems))
    return Source(name, data, builder.lines)


class _Builder:
    """Converts YAML nodes to values."""

    def __init__(self, name: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[str] = []
        self._name = name
        self._above: set[int] = set()

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.lines[path] = node.start_mark.line + 1
        if len(self.lines) > MOST_VALUES:
            raise UsageError(
                f"{self._name}: more than {MOST_VALUES:,} values after aliases are expanded"
            )
        if id(node) in self._above:
            self._complain(node, path, "an alias that contains itself")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        expected = "seq" if isinstance(node, yaml.SequenceNode) else "map"
        if node.tag != _PREFIX + expected:
            self._complain(node, path, f"the tag {_tag(node)} is not allowed; write plain values")
            return None
        self._above.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._above.discard(id(node))

    def _mapping(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(key_node, path, "a key must be a plain word")
                continue
            key = key_node.value
            if key_node.tag == _PREFIX + "merge":
                text = "merge keys (<<) are not read; write the keys themselves"
                self._complain(key_node, path, text)
                continue
            inside = (*path, key)
            if key in mapping:
                self._complain(key_node, inside, "the key appears twice")
                continue
            mapping[key] = self.value(value_node, inside)
            self.lines[inside] = key_node.start_mark.line + 1
        return mapping

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        if node.tag not in _SCALARS:
            what = "a date" if node.tag == _PREFIX + "timestamp" else f"the tag {_tag(node)}"
            self._complain(node, path, f"{what} is not allowed; put text in quotes")
            return None
        if not node.style and _AMBIGUOUS.fullmatch(node.value) and node.tag != _PREFIX + "str":
            # 0100 is 64 in YAML 1.1 and 100 in YAML 1.2; 1:30 is 90, or text.
            text = f"{shortened(node.value)} means different numbers to different readers of YAML"
            self._complain(node, path, f"{text}; write it in plain decimal digits")
            return None
        if not node.style and node.tag == _PREFIX + "bool" and node.value.lower() in _SWITCHES:
            text = f"{node.value} is text to some readers of YAML and a boolean to others"
            self._complain(node, path, f"{text}; write true or false, or put text in quotes")
            return None
        try:
            value = yaml.SafeLoader("").construct_object(node)
        except (ValueError, yaml.YAMLError):
            self._complain(node, path, f"{brief(node.value)} cannot be read as {_tag(node)}")
            return None
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            self._complain(
                node, path, f"{brief(node.value)} has too many digits for any value here"
            )
            return None
        return value

    def _complain(self, node: yaml.Node, path: KeyPath, text: str) -> None:
        where = key_text(path)
        line = node.start_mark.line + 1
        self.problems.append(f"{self._name}:{line}: {where + ': ' if where else ''}{text}")


def brief(value: object) -> str:
    """Quote a value in a message, shortened if it is long."""
    return shortened(repr(value))


def shortened(text: str) -> str:
    """Cut a text off where it is too long for a message."""
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}…"


def _tag(node: yaml.Node) -> str:
    tag = str(node.tag)
    return f"!!{tag[len(_PREFIX) :]}" if tag.startswith(_PREFIX) else tag
