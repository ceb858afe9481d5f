"""`bench models import`: a model of one's own, known to configs and commands from then on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.catalog import models

CONFIGS = json.loads(
    (Path(__file__).parents[1] / "data" / "model_configs.json").read_text(encoding="utf-8")
)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config.json, and a configuration folder that is empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    models.load_models.cache_clear()
    models.models_by_name.cache_clear()
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIGS["deepseek-v3.2"]))
    yield path
    monkeypatch.undo()
    models.load_models.cache_clear()
    models.models_by_name.cache_clear()


def forget():
    """What the next program would do: read the models again."""
    models.load_models.cache_clear()
    models.models_by_name.cache_clear()


def test_an_imported_model_is_known(invoke, config, tmp_path):
    text = invoke("models", "import", config, "--name", "mine-1", "--title", "Mine 1")
    assert "mine-1, 67" in text
    assert "active" in text
    forget()
    assert "Mine 1" in invoke("list", "models")
    case = tmp_path / "case.yaml"
    case.write_text(
        "kernels:\n  - {kernel: moe_layer, model: mine-1, dtype: bfloat16, tokens: 16}\n"
    )
    assert "mine-1" in invoke("run", case, "--list-cases")


def test_an_entry_is_only_printed(invoke, config, tmp_path):
    assert invoke("models", "import", config, "--name", "mine-1", "--print").startswith("mine-1:\n")
    assert not (tmp_path / "home").exists()


def test_a_model_is_replaced_only_by_force(invoke, config):
    invoke("models", "import", config, "--name", "mine-1")
    text = invoke("models", "import", config, "--name", "mine-1", status=2)
    assert "--force replaces it" in text
    invoke("models", "import", config, "--name", "mine-2")
    invoke("models", "import", config, "--name", "mine-1", "--force")
    assert set(models.own_models()) == {"mine-1", "mine-2"}


@pytest.mark.parametrize("name", ["deepseek-v3", "kimi-k2.6"])
def test_a_shipped_model_is_not_replaced(invoke, config, name):
    text = invoke("models", "import", config, "--name", name, "--force", status=2)
    assert "choose another name" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n", "expected models by name"),
        ("mine: 3\n", "expected the fields of a model; correct or remove the entry"),
        ("mine: {hidden: 7}\n", "models.yaml:1: mine: .*correct or remove the entry"),
    ],
)
def test_a_damaged_file_of_models_is_named(invoke, config, tmp_path, content, message):
    path = tmp_path / "home" / "accelerator-bench" / "models.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    forget()
    text = invoke("list", "models", status=2)
    assert pytest.importorskip("re").search(message, text), text
