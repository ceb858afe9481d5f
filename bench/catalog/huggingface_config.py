"""A config.json of Hugging Face whose fields are read by name, with errors that name file and field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.errors import UsageError


class Config:
    """Fields of a config.json. Raises UsageError for a field that is missing or not what it should be."""

    def __init__(self, fields: Mapping[str, Any], origin: str) -> None:
        """Take the fields and the name of the file, for error messages."""
        self._fields = fields
        self._origin = origin

    def __contains__(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def get(self, *names: str) -> Any:
        """Return the first of the fields that is set, or None."""
        return next((self._fields[name] for name in names if name in self), None)

    def integer(self, *names: str, default: int | None = None) -> int:
        """Return the first of the fields that is set; of a list per layer, the value that all layers have."""
        name = next((each for each in names if each in self), None)
        if name is None:
            if default is None:
                raise self.error(f"{' or '.join(names)} is missing")
            return default
        value = self.get(name)
        if isinstance(value, list) and value and all(item == value[0] for item in value):
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.error(f"{name}: expected a whole number, got {value!r:.60}")
        return value

    def names(self, name: str) -> list[Any]:
        """Return a field that is a list of names or numbers, one per layer; empty if it is not set."""
        value = [] if name not in self else self.get(name)
        if not isinstance(value, list) or not all(isinstance(item, (str, int)) for item in value):
            raise self.error(f"{name}: expected a list of names or numbers, got {value!r:.60}")
        return value

    def required(self, name: str) -> list[Any]:
        """Return such a list, which must be set."""
        if name not in self:
            raise self.error(f"{name} is missing")
        return self.names(name)

    def nested(self, name: str) -> Config:
        """Return a field that is an object; empty if it is not set."""
        value = {} if name not in self else self.get(name)
        if not isinstance(value, dict):
            raise self.error(f"{name}: expected an object, got {value!r:.60}")
        return Config(value, f"{self._origin}: {name}")

    def error(self, text: str) -> UsageError:
        """Return an error that names the file."""
        return UsageError(f"{self._origin}: {text}")
