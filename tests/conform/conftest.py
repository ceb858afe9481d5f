"""The backends of tests/plugins, importable in the process of the tests."""

import sys
from pathlib import Path

PLUGINS = Path(__file__).parents[1] / "plugins"
for name in ("example_backend", "faulty_backend"):
    if str(PLUGINS / name) not in sys.path:
        sys.path.append(str(PLUGINS / name))
