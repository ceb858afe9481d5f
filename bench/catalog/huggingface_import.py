"""Reads a config.json from a file and saves the model among the user's own."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from pydantic import ValidationError

from bench.catalog.huggingface import read_model
from bench.catalog.models import Model, own_models, own_models_file, shipped_models
from bench.errors import UsageError
from bench.yaml_files.source import LARGEST_BYTES

NAME = re.compile(r"[a-z0-9][a-z0-9.\-]{0,63}")


def read_file(path: Path, name: str, title: str | None = None) -> Model:
    """Return the model that a config.json describes. Raises UsageError with what is wrong with it."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"--name: {name!r} is no name for a model; expected lower-case letters, digits, dots and hyphens"
        )
    fields = _read(path)
    try:
        model = read_model(name, fields, str(path))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise UsageError(f"{path}: {where + ': ' if where else ''}{problem['msg']}") from error
    return model.model_copy(update={"title": title}) if title else model


def entry(model: Model) -> str:
    """Return the YAML of a model, without the fields that have their default."""
    fields = model.model_dump(exclude_defaults=True, exclude={"id"}, mode="json")
    fields |= {"total_params_b": None, "active_params_b": None}
    return yaml.safe_dump({model.id: fields}, sort_keys=False, allow_unicode=True)


def save(model: Model, *, force: bool = False) -> Path:
    """Add a model to the user's own and return the file.

    Raises UsageError for the name of a shipped model, and without `force` for one of the user's own.
    """
    shipped = shipped_models()
    if model.id in shipped or any(model.id in other.aliases for other in shipped.values()):
        raise UsageError(
            f"--name: {model.id!r} is a model that bench knows already; choose another name"
        )
    models = own_models()
    if model.id in models and not force:
        raise UsageError(
            f"--name: {own_models_file()} has a model {model.id!r} already; --force replaces it"
        )
    models[model.id] = model
    path = own_models_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(
        "w", dir=path.parent, prefix=".models-", delete=False, encoding="utf-8"
    ) as file:
        file.write("".join(entry(each) for each in models.values()))
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
    return path


def _read(path: Path) -> dict[str, Any]:
    """Return the fields of a config.json."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected the config.json of a model")
    if path.stat().st_size > LARGEST_BYTES:
        raise UsageError(
            f"{path}: larger than {LARGEST_BYTES >> 20} MiB, so not the config of a model"
        )
    try:
        fields = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise UsageError(f"{path}: expected an object, got a {type(fields).__name__}")
    return fields
