"""Runs Python snippets with the real pynvml on top of the stand-in driver, in a process of their own.

pynvml finds its library as it always does, by the name libnvidia-ml.so.1 on the loader's path. One
process serves many scenarios, because NVML reads the scenario anew at each first initialisation.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("nvml.c")

SERVE = """
import json, os, sys, traceback
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    scenario, snippet = json.loads(line)
    with open(os.environ["NVML_SCENARIO"], "w") as file:
        file.write(scenario)
    scope = {}
    try:
        exec(snippet, scope)
        answer = {"result": scope["result"]}
    except Exception as error:
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=answers, flush=True)
"""


def build_driver(folder: Path) -> Path:
    """Compile the stand-in into `folder`; return the library's path."""
    library = folder / "libnvidia-ml.so.1"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(SOURCE), "-lpthread"], check=True)
    return library


def driver_environment(library: Path, scenario: Path) -> dict[str, str]:
    """Return the environment of a process that finds the stand-in."""
    return {**os.environ, "LD_LIBRARY_PATH": str(library.parent), "NVML_SCENARIO": str(scenario)}


class Player:
    """A Python process on top of the stand-in."""

    def __init__(self, library: Path, scenario: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=driver_environment(library, scenario),
            text=True,
        )

    def play(self, scenario: str, snippet: str) -> Any:
        """Run a snippet that sets `result`; return it, or raise RuntimeError with its error."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([scenario, snippet]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=10)
