"""`python -m bench`: the same as the console script `bench`."""

import sys
from pathlib import Path

import bench

# The console script imports nothing from the current folder, which `-m` puts first. Where bench itself
# lies there, it stays.
if sys.path[:1] == [str(Path.cwd())] and Path(bench.__file__).parents[1] != Path.cwd():
    del sys.path[0]

from bench.cli.main import main

main()
