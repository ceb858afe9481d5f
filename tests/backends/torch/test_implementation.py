"""Which implementations are offered, in which order, and how those of other packages join."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from backends.preferences import OTHER, PREFERENCES
from backends.torch import implementation
from backends.torch.implementation import find, offered
from bench import plugins
from bench.errors import Unsupported

KEYS = sorted(point.name for point in entry_points(group=plugins.IMPLEMENTATIONS))


class Foreign:
    def unsupported(self, case, device):
        return None

    def build(self, case, operands):
        return dict


class First(Foreign):
    def before(self, device_type):
        return "torch" if device_type == "cuda" else None


@pytest.fixture
def install(monkeypatch):
    """Add plug-ins, by key, to those that are installed; a reason instead of a class is one that fails."""
    ours = plugins.load_all(plugins.IMPLEMENTATIONS)

    def add(**by_name):
        installed = plugins.Plugins(dict(ours.loaded), dict(ours.broken))
        for name, value in by_name.items():
            (installed.broken if isinstance(value, str) else installed.loaded)[f"matmul.{name}"] = (
                value
            )
        monkeypatch.setattr(implementation.plugins, "load_all", lambda group: installed)

    return add


def test_the_lists_and_the_entry_points_name_the_same():
    listed = {
        f"{kernel}.{name}"
        for kernel, by_type in PREFERENCES.items()
        for names in by_type.values()
        for name in names
    }
    assert sorted(listed) == KEYS


@pytest.mark.parametrize("kernel", PREFERENCES)
def test_every_kernel_has_an_order_for_device_types_that_nobody_has_tried(kernel):
    assert offered(kernel, "xpu") == list(PREFERENCES[kernel][OTHER])
    for device_type, names in PREFERENCES[kernel].items():
        assert len(set(names)) == len(names)
        assert set(offered(kernel, device_type)) == set(names), "each at most once, none left out"


def test_one_of_another_package_comes_last(install):
    ours = offered("matmul", "cpu")
    install(foreign=Foreign)
    assert offered("matmul", "cpu") == [*ours, "foreign"]
    assert "foreign" not in offered("memory", "cpu")
    assert isinstance(find("matmul", "foreign"), Foreign)


def test_one_of_another_package_may_say_where_it_stands(install):
    ours = offered("matmul", "cuda")
    install(first=First)
    assert offered("matmul", "cuda") == ["first", *ours]
    assert offered("matmul", "cpu")[-1] == "first"


def test_one_that_does_not_load_says_why(install):
    install(broken="ImportError: libfast.so is missing")
    assert "broken" not in offered("matmul", "cpu")
    with pytest.raises(Unsupported, match=r"'broken' of matmul cannot be loaded: .*libfast\.so"):
        find("matmul", "broken")
