"""`python -m bench`: the same as the console script `bench`."""

from bench.cli.main import main

main()
